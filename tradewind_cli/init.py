"""`tradewind init`: a folder of one's own, with everything to set."""

import os
import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from tradewind.errors import ConflictError, StorageError
from tradewind_cli.output import JsonOption, print_answer

__all__ = ["init"]

_IGNORED: Final = "bundles/\nruns/\n*.pem\n"
_README: Final = """\
# A Tradewind project

Everything that can be set lies in `config/`; `tradewind schema NAME` says what a file may hold.

    tradewind train config/training/dqn_btc.yaml --policy btc-dqn   # published to bundles/
    tradewind up                                 # the services, and the orchestrator over them

- `config/training/*.yaml`: the bars (`data:`), the algorithm, the risk in the reward:
  half hours of BTC, hours of EUR/USD (`ppo_eurusd.yaml`), days of the S&P 500 (`ppo_spx.yaml`),
  three symbols from one account (`ppo_panel.yaml`)
- `config/risk_limits.yaml`: limits and rules, the same in training and in production
- `config/orchestrator.yaml`: what is traded, on which feed, by which broker
"""


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or an empty folder.")],
    as_json: JsonOption = False,
) -> None:
    """Writes a project: settings of data, training, risk, services and orchestrator."""
    from tradewind.shipped import shipped_config

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(f"{folder} is there and not an empty folder: nothing was written")
    made = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        made.mkdir(parents=True)
        leave_out = shutil.ignore_patterns("compose", "__pycache__")
        shutil.copytree(shipped_config(), made / "config", ignore=leave_out)
        (made / ".gitignore").write_text(_IGNORED)
        (made / "README.md").write_text(_README)
        made.replace(folder)
    except OSError as problem:
        shutil.rmtree(made, ignore_errors=True)
        raise StorageError(f"cannot write {folder}: {problem.strerror}") from None
    answer = {"folder": str(folder), "next": "README.md there says how to go on"}
    print_answer(answer, as_json=as_json)
