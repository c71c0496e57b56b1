"""The whole way once: train over gRPC, hot-load, replay held-out bars, risk-check, sum up."""

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator.baselines import BuyAndHold, RandomPolicy
from orchestrator.picture import draw_replays
from orchestrator.replay import ReplayResult, replay
from orchestrator.served_policy import ServedPolicy
from orchestrator.summary import latency_table, performance_table, slo_verdict
from tradewind.errors import TradewindError, TrainingError, UnavailableError
from tradewind.jobs import JobState, TrainingJob
from tradewind.market import Bars, load_sample, split_bars
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient, RiskClient, TrainerClient
from tradewind.settings import read_yaml
from tradewind.urls import sqlite_url
from tradewind_cli.progress import follow_job

__all__ = ["main"]

POLICY = "demo"
SYMBOL = "BTC"
RISK_POLICY = Path("config/risk_limits.yaml")
TRAINING = Path("config/training/ppo_btc.yaml")
LOAD_TIMEOUT_S = 30.0
RANDOM_SEED = 7


@dataclass(frozen=True, slots=True)
class Stack:
    """Clients of the three running services."""

    trainer: TrainerClient
    inference: InferenceClient
    risk: RiskClient


@dataclass(frozen=True, slots=True)
class DemoRun:
    """What the demo did.

    Attributes:
        version: Of the policy that it trained.
        served: The policy as it was asked on each bar of its replay.
        replays: Of the policy and of the baselines, by name.
    """

    version: str
    served: ServedPolicy
    replays: dict[str, ReplayResult]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo from the root of the repository.

    Returns:
        0 when everything worked, 1 with a message otherwise.
    """
    parser = argparse.ArgumentParser(prog="python -m orchestrator.demo", description=__doc__)
    parser.add_argument("--training", type=Path, default=TRAINING, help="training configuration")
    parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="where it writes")
    options = parser.parse_args(arguments)
    console = Console()
    folder = options.output / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        config, _ = read_yaml(options.training)
        with contextlib.ExitStack() as stack:
            run(console, start_services(console, folder, stack), config, folder)
    except TradewindError as problem:
        console.print(f"[bold red]demo failed:[/] {problem}", soft_wrap=True)
        console.print(f"logs: {folder / 'logs'}")
        return 1
    return 0


def start_services(console: Console, folder: Path, stack: contextlib.ExitStack) -> Stack:
    """Starts the three services on free loopback ports; the stack stops them.

    Raises:
        UnavailableError: One of them did not start; the message has its log.
    """
    store = str(folder / "bundles")
    commands = {
        "trainer_service": ["--store", store, "--jobs", sqlite_url(folder / "jobs.db")],
        "inference_service": ["--store", store],
        "risk_service": [
            "--policy",
            str(RISK_POLICY),
            "--database",
            sqlite_url(folder / "risk.db"),
        ],
    }
    addresses = {}
    for module, flags in commands.items():
        config = f"config/{module.removesuffix('_service')}.yaml"
        listen = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
        log = folder / "logs" / f"{module}.log"
        process = ServiceProcess(module, ["--config", config, *listen, *flags], log=log)
        stack.enter_context(process)
        addresses[module] = process.address
        console.print(
            f"{module:18} on {process.address}, metrics http://{process.metrics_address}/metrics"
        )
    return Stack(
        stack.enter_context(TrainerClient(addresses["trainer_service"])),
        stack.enter_context(InferenceClient(addresses["inference_service"])),
        stack.enter_context(RiskClient(addresses["risk_service"])),
    )


def run(console: Console, stack: Stack, config: dict[str, Any], folder: Path) -> DemoRun:
    """Trains, waits for the hot load, replays and prints the summary.

    Args:
        console: What is printed to.
        stack: The services.
        config: Of the training; its bars are those of SYMBOL whatever it says.
        folder: Where the picture goes, and where the services keep theirs.

    Raises:
        TradewindError: A step failed; the message says which and why.
    """
    config = {**config, "data": {"symbol": SYMBOL}}
    started = time.monotonic()
    job = train(console, stack.trainer, config)
    trained = time.monotonic()
    wait_until_served(stack.inference, job.bundle_version)
    loaded = time.monotonic()
    console.print(
        f"trained and published {POLICY} {job.bundle_version} in {trained - started:.0f} s; "
        f"served {loaded - trained:.2f} s later"
    )
    held_out = split_bars(load_sample(SYMBOL), config["training_params"]["held_out_fraction"])[1]
    served = ServedPolicy.for_policy(stack.inference, stack.risk, POLICY, job.bundle_version)
    replays = replay_all(console, served, held_out)
    report = stack.inference.latency_reports(POLICY)[0]
    picture = folder / "replay.png"
    draw_replays(picture, f"{SYMBOL}, held-out bars: policy beside baselines", replays)
    console.print()
    console.print(latency_table(report, served.decisions))
    console.print(slo_verdict(report))
    console.print()
    console.print(performance_table(replays))
    scores = [decision.risk.risk_score for decision in served.decisions]
    known = [score for score in scores if score is not None]
    highest = f"highest {max(known):.2f} of 1" if known else "never known"
    console.print(
        f"risk score: {highest}, unknown on {len(scores) - len(known)} of {len(scores):,} bars"
    )
    console.print(f"\nbundle    {folder / 'bundles' / POLICY / job.bundle_version}")
    console.print(f"picture   {picture}\nlogs      {folder / 'logs'}", soft_wrap=True)
    return DemoRun(job.bundle_version, served, replays)


def train(console: Console, trainer: TrainerClient, config: dict[str, Any]) -> TrainingJob:
    """Starts a training and follows it with a progress bar.

    Raises:
        TrainingError: The job did not succeed.
    """
    job = follow_job(trainer.watch(trainer.start_training(POLICY, config).job_id), console)
    if job.state is not JobState.SUCCEEDED:
        raise TrainingError(f"the training ended as {job.state}: {job.error}")
    return job


def wait_until_served(inference: InferenceClient, version: str) -> None:
    """Waits for the inference service to have loaded a version of the policy.

    Raises:
        UnavailableError: It refused the version, or took too long.
    """
    deadline = time.monotonic() + LOAD_TIMEOUT_S
    while time.monotonic() < deadline:
        listing = inference.list_policies()
        for served in listing.policy_versions:
            if (served.policy, served.version) == (POLICY, version):
                return
        for refused in listing.quarantined_versions:
            if (refused.policy, refused.version) == (POLICY, version):
                raise UnavailableError(f"{version} was refused: {refused.reason}: {refused.detail}")
        time.sleep(0.02)
    raise UnavailableError(f"{version} was not loaded within {LOAD_TIMEOUT_S:.0f} s")


def replay_all(console: Console, served: ServedPolicy, bars: Bars) -> dict[str, ReplayResult]:
    """Replays the policy over gRPC, and the baselines on the same terms."""
    started = time.monotonic()
    warm_up = served.warm_up_bars
    policy = replay(bars, served.terms, served, warm_up_bars=warm_up)
    seconds = time.monotonic() - started
    console.print(
        f"replayed {len(bars):,} held-out bars in {seconds:.0f} s, "
        f"{len(served.decisions) / seconds:,.0f} bars/s: each one Predict and one CalculateOnly"
    )
    hold, chance = BuyAndHold(served.terms), RandomPolicy(served.terms, RANDOM_SEED)
    return {
        "policy": policy,
        "buy and hold": replay(bars, served.terms, hold, warm_up_bars=warm_up),
        "random": replay(bars, served.terms, chance, warm_up_bars=warm_up),
    }


if __name__ == "__main__":
    sys.exit(main())
