"""`tradewind demo`: everything once, from bars to a log that proves itself."""

import asyncio
import contextlib
import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tradewind.errors import StorageError, TradewindError
from tradewind.reporting.progress import progress_console
from tradewind_cli.progress import INTERRUPTED, interruptible

__all__ = ["demo", "new_folder"]


def demo(
    training: Annotated[Path, typer.Option(metavar="FILE", help="What to train.")] = Path(
        "config/training/ppo_btc.yaml"
    ),
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Everything is written to a new folder in it.")
    ] = Path("runs/demo"),
    live: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The live view; port 0 picks a free one.")
    ] = "127.0.0.1:0",
) -> None:
    """Trains a policy, serves it, trades the held-out bars with it, and proves what was decided.

    Everything runs on free ports of this machine, and ends with the command.
    """
    from tradewind.settings import read_yaml

    values, _ = read_yaml(training)
    folder = new_folder(output)
    console = progress_console()
    console.print(f"{'everything':18} in {folder}", soft_wrap=True, highlight=False, markup=False)
    try:
        with interruptible(), asyncio.Runner() as runner, contextlib.ExitStack() as stack:
            # It takes seconds to import: no other command should wait for it.
            from tradewind_cli.compiling import compile_missing
            from tradewind_cli.demonstration import Demonstration

            compile_missing(console)
            Demonstration(console, folder, runner, stack).run(values, live)
    except KeyboardInterrupt:
        typer.echo(
            f"tradewind: interrupted, and all has stopped; logs: {folder / 'logs'}", err=True
        )
        raise typer.Exit(INTERRUPTED) from None
    except TradewindError as problem:
        problem.add_note(f"logs: {folder / 'logs'}")
        raise


def new_folder(output: Path) -> Path:
    """A folder that no other demo has, also of one that starts in the same second.

    Raises:
        StorageError: It cannot be made.
    """
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in itertools.count(2):
        folder = output / name
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            name = f"{name.partition('-')[0]}-{number}"
        except OSError as problem:
            raise StorageError(f"cannot write {output}: {problem.strerror}") from problem
        else:
            return folder
    raise AssertionError
