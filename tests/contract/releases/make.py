"""Makes what a release leaves behind at its users', for every later release to read.

    python tests/contract/releases/make.py FOLDER

It drives the product as a user does: a job at the trainer service, an account that the
orchestrator trades over the inference and the risk service, a training that is stopped, one whose
bundle cannot be published. Run once for a release, with its code on the path; the result is
committed beside this file as <release>/ and is never made again.
"""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import yaml

from tradewind.errors import TradewindError
from tradewind.market import FeatureSpec, load_bars, load_sample
from tradewind.risk import RiskInputs, RiskPolicy
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import RiskClient, TrainerClient
from trainer_service.checkpoints import Checkpointing, CheckpointSettings
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv

try:
    from trainer_service.training.agent import create_trainer_agent
    from trainer_service.training.config import JobConfig
except ImportError:  # release 0.1 had them elsewhere
    from trainer_service.agent import create_trainer_agent  # type: ignore[import-not-found, no-redef]
    from trainer_service.config import JobConfig  # type: ignore[import-not-found, no-redef]

try:
    from tradewind.risk import RiskOverlay
except ImportError:  # release 0.1 had none
    RiskOverlay = None  # type: ignore[assignment, misc]

BAR_COUNT = 320
FEATURES = {
    "return_count": 3,
    "volatility_windows": [6],
    "rsi_period": None,
    "ema_periods": [4],
    "ema_depth": 1,
    "vwap_window": None,
}
ENVIRONMENT = {"episode_bars": 48, "allow_short": True, "position_fraction": 0.5}
RISK_POLICY = """\
# Something of everything: what differs from a default, and what does not.
calculators:
  volatility: {window_bars: 64, min_returns: 10, periods_per_year: 17520}
  var: {window_bars: 128, method: parametric}
  kyle_lambda: {enabled: false}
  feed_staleness: {max_clock_skew_ms: 2000}
  stress:
    scenarios:
      crash: {other_price_shock: -0.4, price_shocks: {BTC: -0.5}}
limits:
  max_drawdown: {limit: 0.5, weight: 2.0}
  var_95: {limit: 0.2}
  hourly_turnover: {limit: 50.0, weight: 0.0}
pre_trade:
  order_notional: 1.0e+6
rules:
  - name: warn_of_drawdown
    when: {metric: max_drawdown, of_limit: 0.1}
    action: WARN
  - name: halt
    when: {all: [{metric: max_drawdown}, {not: {metric: current_drawdown, over: 0.99}}]}
    action: HALT
    unavailable_action: BLOCK
    severity: critical
  - name: tail
    when: {any: [{metric: var_95}, {metric: stress_loss_crash, over: 2.0}]}
    action: THROTTLE
    window: {at_least: 2, evaluations: 3}
    active_utc: {start: "22:00", end: "06:00"}
  - name: order_too_large
    when: {metric: pre_trade.order_notional}
    action: BLOCK
  - name: watched
    when: {metric: daily_turnover, over: 100}
    action: BLOCK
    shadow: true
...
"""


def training(algorithm: str, folder: Path) -> dict[str, Any]:
    """A training of seconds, with risk in it."""
    parameters: dict[str, Any] = {"policy_kwargs": {"net_arch": [8]}}
    if algorithm == "PPO":
        parameters |= {"n_steps": 32, "batch_size": 32, "n_epochs": 1}
    else:
        parameters |= {"buffer_size": 400, "learning_starts": 64, "batch_size": 16}
    return {
        "algorithm": algorithm,
        "algo_params": parameters,
        "training_params": {
            "total_timesteps": 512,
            "seed": 3,
            "n_envs": 2,
            "normalize_observations": algorithm == "PPO",
            "held_out_fraction": 0.3,
        },
        "risk_config": {
            "enabled": True,
            "policy_yaml": str(folder / "risk_policy.yaml"),
            "early_stop_threshold": None,
            "lagrangian": {"constraints": {"max_drawdown": 0.3}} if algorithm == "PPO" else None,
        },
        "evaluation": {"report": False, "resamples": 100},
    }


def write_bars(folder: Path) -> Path:
    """The latest bars of the embedded sample, as a file."""
    bars = load_sample("BTC")
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    columns = {"timestamp": bars.timestamps_ns // 10**9, **columns}
    table = pa.table({name: values[-BAR_COUNT:] for name, values in columns.items()})
    path = folder / "bars.csv"
    pa.csv.write_csv(table, path)
    return path


def environment(bars: Path) -> IntradayTradingEnv:
    return IntradayTradingEnv(
        load_bars(bars, "BTC"), EnvironmentConfig(**ENVIRONMENT), FeatureSpec(**FEATURES)
    )


def make_job_store(folder: Path, bars: Path) -> None:
    """A job that published a bundle, one that failed, one that was cancelled."""
    config = folder / "trainer.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "store": str(folder / "store"),
                "jobs": f"sqlite:///{folder}/jobs.sqlite",
                "drafts": str(folder / "drafts"),
                "files": str(folder),
                "risk_policy": str(folder / "risk_policy.yaml"),
                "tracking": {"tensorboard": None},
                "checkpoints": {"folder": str(folder / "job_checkpoints")},
            }
        )
    )
    job = training("PPO", folder)
    job |= {"data": {"path": str(bars), "symbol": "BTC"}, "features": FEATURES}
    job |= {"environment": ENVIRONMENT}
    endless = job | {"training_params": job["training_params"] | {"total_timesteps": 10**8}}
    broken = job | {"environment": ENVIRONMENT | {"episode_bars": 100_000}}
    free = ("--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
    with (
        ServiceProcess(
            "trainer_service", [*free, "--config", str(config)], log=folder / "trainer.log"
        ) as service,
        TrainerClient(service.address) as trainer,
    ):
        for wanted, request_id in ((job, "good"), (broken, "bad")):
            started = trainer.start_training("tiny-ppo", wanted, request_id=request_id)
            for seen in trainer.watch(started.job_id):
                print(request_id, seen.state, seen.error)
        started = trainer.start_training("tiny-ppo", endless, request_id="cancelled")
        waiting = trainer.start_training("tiny-ppo", job, request_id="cancelled-too")
        trainer.cancel(waiting.job_id)
        trainer.cancel(started.job_id)
        for _ in trainer.watch(started.job_id):
            pass
    close_database(folder / "jobs.sqlite")


def make_account(folder: Path, bars: Path) -> None:
    """An account that was traded for some ticks, and its audit trail, with a halt resumed."""
    free = ("--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
    kept = folder / "orchestrator"
    overlay = () if RiskOverlay is None else ("--overlay", str(folder / "overlay.yaml"))
    database = f"sqlite:///{folder}/audit.sqlite"
    with (
        ServiceProcess(
            "inference_service",
            [*free, "--store", str(folder / "store")],
            log=folder / "inference.log",
        ) as inference,
        ServiceProcess(
            "risk_service",
            [*free, "--policy", str(folder / "risk_policy.yaml"), "--database", database, *overlay],
            log=folder / "risk.log",
        ) as risk,
    ):
        config = folder / "orchestrator.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "account": "kept",
                    "folder": str(kept),
                    "services": {"inference": inference.address, "risk": risk.address},
                    "allocations": [{"symbol": "BTC", "policy": "tiny-ppo", "cash": 20000}],
                    "feed": {"kind": "files", "files": {"BTC": str(folder / "feed.csv")}},
                    "safety": {"budget_ms": 10000},
                    "log": {"folder": str(kept / "log")},
                }
            )
        )
        lines = bars.read_text().splitlines(keepends=True)
        for count in (30, 60):  # two runs: the second goes on with the first one's account
            (folder / "feed.csv").write_text("".join(lines[: 1 + count]))
            orchestrate(config)
        with RiskClient(risk.address) as client:
            lost = RiskInputs.from_mapping({"portfolio_values": [100.0, 40.0]})
            print(client.evaluate(lost, account="halted", request_id="loss").action)
            client.resume(
                account="halted", name="Alice Example", role="risk_officer", reason="reviewed"
            )
            client.evaluate(lost, account="halted-still", request_id="loss")
    close_database(folder / "audit.sqlite")


def orchestrate(config: Path) -> None:
    subprocess.run([sys.executable, "-m", "orchestrator", "--config", str(config)], check=True)


class StopError(Exception):
    """Ends a training as a crash would."""


def make_checkpoint(folder: Path, bars: Path, algorithm: str) -> None:
    def stop(timesteps: int) -> None:
        if timesteps >= 256:
            raise StopError

    place = folder / "checkpoints" / algorithm
    settings = CheckpointSettings(folder=place, interval_s=None, interval_timesteps=128)
    config = training(algorithm, folder) | {"store": str(folder / "unused"), "policy": "kept"}
    config |= {"drafts": str(folder / "unused-drafts"), "tracking": {"tensorboard": None}}
    (folder / f"training-{algorithm}.json").write_text(json.dumps(config, indent=1) + "\n")
    with contextlib.suppress(StopError):
        create_trainer_agent(config).train(
            environment(bars), checkpointing=Checkpointing(settings, on_written=stop)
        )
    for older in sorted(place.glob("*.zip"))[:-1]:
        older.unlink()


def make_draft(folder: Path, bars: Path, algorithm: str) -> None:
    config = training(algorithm, folder) | {"policy": f"draft-{algorithm.lower()}"}
    no_folder = folder / "no_folder"
    no_folder.write_text("")
    config |= {"store": str(no_folder), "drafts": str(folder / "drafts")}
    config |= {"tracking": {"tensorboard": None}}
    if algorithm == "DQN":  # as a job keeps it
        job = {"data": {"path": bars, "symbol": "BTC"}, "environment": ENVIRONMENT}
        agent = create_trainer_agent(JobConfig(**config, **job, features=FEATURES))
    else:
        agent = create_trainer_agent(config)
    with contextlib.suppress(TradewindError):
        agent.train(environment(bars))
    (draft,) = (folder / "drafts").glob(f"{config['policy']}-*")
    draft.rename(folder / "drafts" / algorithm)


def close_database(path: Path) -> None:
    """Brings what SQLite keeps beside its file into it."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("VACUUM")


@contextlib.contextmanager
def within(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    with within(folder):
        # Nothing that is kept may name a place of this machine.
        here = Path()
        (here / "risk_policy.yaml").write_text(RISK_POLICY)
        base = RiskPolicy.from_yaml(here / "risk_policy.yaml").digest()
        overlay = f"base: {base}\nlimits: {{max_drawdown: 0.4}}\n...\n"
        if RiskOverlay is not None:
            (here / "overlay.yaml").write_text(overlay)
        bars = write_bars(here)
        make_job_store(here, bars)
        make_account(here, bars)
        for algorithm in ("PPO", "DQN"):
            make_checkpoint(here, bars, algorithm)
            make_draft(here, bars, algorithm)
        about = {
            "risk_policy_digest": base,
            "overlay_digest": ""
            if RiskOverlay is None
            else RiskOverlay.from_text(overlay.encode(), "overlay.yaml").digest(),
            "feature_spec_digest": FeatureSpec(**FEATURES).digest,
            "features": FEATURES,
            "environment": ENVIRONMENT,
        }
        (here / "about.json").write_text(json.dumps(about, indent=1) + "\n")
        shutil.rmtree(here / "job_checkpoints", ignore_errors=True)
        for path in (
            *map(Path, ("no_folder", "feed.csv", "audit.sqlite.lock")),
            *here.glob("*.log"),
        ):
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
