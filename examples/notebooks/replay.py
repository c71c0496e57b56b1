# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # Trade on paper, then prove every decision
#
# A small policy trades the last bars of the sample through real services; the log of its decisions is replayed to the bit, and
# once more with another policy. `pip install 'tradewind[trainer,inference,risk,orchestrator]'`.

# %%
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import yaml

from orchestrator.analysis.decision_replay import open_bundle, replay_other, verify
from orchestrator.analysis.tearsheet import render_tearsheet
from orchestrator.decision_log import DecisionLog
from tradewind.bundle import BundleStore
from tradewind.rpc import ServiceProcess
from tradewind.shipped import shipped_or_own
from tradewind.urls import sqlite_url
from trainer_service import IntradayTradingEnv, create_trainer_agent

folder = Path(tempfile.mkdtemp(prefix="tradewind-replay-"))


def train(seed: int) -> Path:
    return create_trainer_agent(
        {
            "policy": f"notebook-{seed}",
            "store": str(folder / "bundles"),
            "algorithm": "PPO",
            "algo_params": {"n_steps": 256},
            "training_params": {
                "total_timesteps": 2_048,
                "seed": seed,
                "n_envs": 8,
                "held_out_fraction": 0.02,
            },
            "evaluation": {"report": False, "resamples": 100},
        }
    ).run(IntradayTradingEnv())


traded, other = train(1), train(2)

# %% [markdown]
# The account: half-hour bars, one at a time; at each a prediction, an Evaluate, its orders and a row of the log.

# %%
free = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
with ExitStack() as stack:
    inference, risk = (
        stack.enter_context(ServiceProcess(name, [*arguments, *free], log=folder / f"{name}.log"))
        for name, arguments in {
            "inference_service": ["--store", str(folder / "bundles")],
            "risk_service": [
                *("--policy", str(shipped_or_own(Path("config/risk_limits.yaml")))),
                *("--database", sqlite_url(folder / "audit.sqlite")),
            ],
        }.items()
    )
    settings = {
        "account": "notebook",
        "folder": str(folder),
        "log": {"folder": str(folder / "log")},
        "services": {"inference": inference.address, "risk": risk.address},
        "allocations": [{"symbol": "BTC", "policy": "notebook-1"}],
        "feed": {"kind": "sample", "held_out_fraction": 0.02},
    }
    config = folder / "orchestrator.yaml"
    config.write_text(yaml.safe_dump(settings))
    orchestrator = [sys.executable, "-m", "orchestrator", "--config", str(config)]
    done = subprocess.run(orchestrator, capture_output=True, text=True, check=True)
print(done.stdout)

# %% [markdown]
# The proof: observations, answers, orders, fills and risk, calculated again from the bars and the bundles alone.

# %%
log = DecisionLog(folder / "log")
proved = verify(log, BundleStore(folder / "bundles"))
assert proved.equal
proved

# %% [markdown]
# And if the other policy had decided?

# %%
instead = replay_other(log, open_bundle(other))
print(f"{instead.actions.equal} of {instead.actions.compared} actions are the same")
print(f"return {instead.logged.total_return:+.2%} → {instead.other.total_return:+.2%}")

# %%
sheet = folder / "tearsheet.html"
sheet.write_bytes(render_tearsheet(log))
sheet
