"""Load for half an hour with a reload every minute: `python -m tests.faults.soak --minutes 30`.

Prints a row a minute and compares the last quarter with the first one after the warm-up. Exit code
1 when an answer was wrong, a call failed, or memory, descriptors or latency grew.
"""

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults.load import Load
from tests.faults.stack import SERVICES, Stack
from tradewind.bundle import BundleDraft, BundleStore, read_bundle
from tradewind.rpc.clients import InferenceClient, RiskClient, TrainerClient

RELEASED = Path(__file__).parents[1] / "contract" / "bundle" / "store_v1"
WARM_UP_MINUTES = 2
CALLERS_AT_ONCE = 16
# How much the last quarter may be above the first: caches and allocators settle for a while.
MEMORY_LIMIT = 1.05
DESCRIPTORS_LIMIT = 1.10
LATENCY_LIMIT = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One minute."""

    memory_mb: dict[str, float]
    descriptors: dict[str, int]
    p50_us: float
    p99_us: float


def main() -> int:
    """Runs the soak."""
    parser = argparse.ArgumentParser(description="Load for a long time, with reloads")
    parser.add_argument("--minutes", type=int, default=30)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
        stack.start_all()
        publish(stack.store)
        with Load(stack) as load:
            load.recovery_s(time.monotonic())
            open_connections(stack)
            refused = load.refused.total()
            samples = list(_run(stack, load, minutes))
        return _judge(samples, load, load.refused.total() - refused)


def publish(store: BundleStore) -> None:
    """Publishes the released policy once more."""
    bundle = read_bundle(RELEASED / "tiny-dqn" / "2026-11-22.1")
    known = bundle.metadata
    store.publish(
        BundleDraft(
            name=known.name,
            algo=known.algo,
            policy_pt=bundle.policy_pt,
            golden=bundle.golden,
            obs_space=known.obs_space,
            action_space=known.action_space,
            distribution=known.distribution,
            features=known.features,
            risk=known.risk,
            training=known.training,
            slo=known.slo,
        )
    )


def open_connections(stack: Stack) -> None:
    """Has every service open as many connections to its database as it keeps.

    It opens one when calls meet, which may happen in the last quarter for the first time, and would
    look like descriptors that are lost.
    """
    addresses = stack.addresses
    with (
        RiskClient(addresses["risk_service"]) as risk,
        TrainerClient(addresses["trainer_service"]) as trainer,
        ThreadPoolExecutor(CALLERS_AT_ONCE) as callers,
    ):

        def ask(_: int) -> None:
            next(risk.list_decisions(page_size=1), None)
            next(trainer.list_jobs(), None)

        list(callers.map(ask, range(10 * CALLERS_AT_ONCE)))


def _run(stack: Stack, load: Load, minutes: int) -> "list[Sample]":
    print(f"{'minute':>6}{'answers':>10}  " + "".join(f"{name:>28}" for name in SERVICES))
    samples = []
    for minute in range(1, minutes + 1):
        publish(stack.store)
        latencies = _predict_for_a_minute(stack, load)
        processes = {name: _tree(stack.process(name).popen.pid) for name in SERVICES}
        sample = Sample(
            {name: _memory_mb(tree) for name, tree in processes.items()},
            {name: sum(p.num_fds() for p in tree) for name, tree in processes.items()},
            statistics.median(latencies),
            statistics.quantiles(latencies, n=100)[98],
        )
        columns = "".join(
            f"{sample.memory_mb[name]:>16.1f} MB{sample.descriptors[name]:>6} fd"
            for name in SERVICES
        )
        print(
            f"{minute:>6}{load.answered.total():>10}  {columns}"
            f"   Predict p50 {sample.p50_us:.0f} p99 {sample.p99_us:.0f} µs",
            flush=True,
        )
        samples.append(sample)
    return samples


def _predict_for_a_minute(stack: Stack, load: Load) -> list[float]:
    """Latency of single calls, in microseconds, beside the load."""
    latencies = []
    until = time.monotonic() + 60.0
    with InferenceClient(stack.addresses["inference_service"], timeout_s=5.0) as client:
        while time.monotonic() < until:
            started = time.perf_counter()
            client.predict(load.observation, policy="tiny-dqn")
            latencies.append((time.perf_counter() - started) * 1e6)
            time.sleep(0.02)
    return latencies


def _memory_mb(processes: list[psutil.Process]) -> float:
    return float(sum(process.memory_info().rss for process in processes)) / 2**20


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _judge(samples: list[Sample], load: Load, refused_count: int) -> int:
    settled = samples[WARM_UP_MINUTES:] or samples
    quarter = max(len(settled) // 4, 1)
    first, last = settled[:quarter], settled[-quarter:]
    ratios = {
        f"{name} {what}": _median(last, what, name) / _median(first, what, name)
        for name in SERVICES
        for what in ("memory_mb", "descriptors")
    }
    ratios["Predict p99_us"] = statistics.median(s.p99_us for s in last) / statistics.median(
        s.p99_us for s in first
    )
    limits = {"memory_mb": MEMORY_LIMIT, "descriptors": DESCRIPTORS_LIMIT, "p99_us": LATENCY_LIMIT}
    print("last quarter / first quarter after the warm-up")
    failed = bool(load.wrong) or refused_count > 0
    for what, ratio in ratios.items():
        limit = limits[what.split()[1]]
        failed |= ratio > limit
        print(f"  {what:<34}{ratio:>6.3f}   at most {limit}")
    print(f"answers {load.answered.total()}, refused {refused_count}, wrong {len(load.wrong)}")
    return int(failed)


def _median(samples: list[Sample], what: str, name: str) -> float:
    return float(statistics.median(getattr(sample, what)[name] for sample in samples))


if __name__ == "__main__":
    sys.exit(main())
