"""What a new version costs the calls under way, and what the service costs at rest.

    python -m tests.bench.bench_reload

One caller after another publishes versions while h2load calls Predict from 16 connections; rounds
without a reload, before and after, are what that is set beside. All versions stay loaded, so the
server's own counts show that every call was answered.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from stable_baselines3 import DQN

from tests.bench.bench_load import Load
from tests.bench.bench_predict import LAYERS, OBSERVATION_SIZE, SERVICE, Market, make_draft
from tests.bench.h2load import has_h2load
from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BundleDraft, BundleStore
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient

CALLERS = 16
CALLS_PER_ROUND = 4_000
RELOADS = 20
RELOADS_AT_REST = 50
IDLE_POLICIES = (10, 100, 300)
IDLE_S = 8.0

Part = Callable[[Path, BundleStore, BundleDraft], Iterator[str]]
QUICK_CONFIG = "poll_s: 0.02\n"


def start(scratch: Path, store: BundleStore, config: str) -> ServiceProcess:
    (scratch / "inference.yaml").write_text(config)
    arguments = ["--config", str(scratch / "inference.yaml"), "--store", str(store.root)]
    return ServiceProcess(
        "inference_service", [*arguments, "--listen", "127.0.0.1:0"], log=scratch / "server.log"
    )


def resident_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss / 2**20)


class Publisher(threading.Thread):
    """Publishes one version after another, each once the one before serves."""

    def __init__(self, address: str, store: BundleStore, draft: BundleDraft, count: int) -> None:
        super().__init__()
        self._address = address
        self._store = store
        self._draft = draft
        self._count = count
        self.seconds: list[float] = []

    def run(self) -> None:
        with InferenceClient(self._address, timeout_s=20.0) as client:
            for _ in range(self._count):
                version = self._store.publish(self._draft).metadata.version
                renamed = time.perf_counter()
                while client.get_policy().policy_version.version != version:
                    time.sleep(0.002)
                self.seconds.append(time.perf_counter() - renamed)


def at_rest(scratch: Path, store: BundleStore, draft: BundleDraft) -> Iterator[str]:
    """Start-up, memory, and whether reloads leave any behind."""
    started = time.perf_counter()
    with start(scratch, store, QUICK_CONFIG) as server:
        yield f"{'process start → ready':36}{time.perf_counter() - started:9.2f} s"
        process = psutil.Process(server.popen.pid)
        (loader,) = process.children()
        yield f"{'resident, serving process':36}{resident_mb(process):9.0f} MB"
        yield f"{'resident, loading process':36}{resident_mb(loader):9.0f} MB"
        sizes = []
        for count in (RELOADS_AT_REST // 5, RELOADS_AT_REST):
            publisher = Publisher(server.address, store, draft, count)
            publisher.run()
            sizes.append(resident_mb(process))
        grown = sizes[1] - sizes[0]
        yield f"{f'{RELOADS_AT_REST} more reloads add':36}{grown:9.1f} MB"


def idle(scratch: Path, _store: BundleStore, draft: BundleDraft) -> Iterator[str]:
    """What following a store costs in which nothing happens, by the number of its policies."""
    for count in IDLE_POLICIES:
        folder = scratch / f"idle-{count}"
        for number in range(count):
            BundleStore(folder).publish(replace(draft, name=f"bench-{number}"))
        with start(scratch, BundleStore(folder), "{}\n") as server:
            with InferenceClient(server.address, timeout_s=60.0) as client:
                while len(client.list_policies().policy_versions) < count:
                    time.sleep(0.1)
            process = psutil.Process(server.popen.pid)
            time.sleep(IDLE_S)  # until every folder has stayed as it is for long enough
            before, started = process.cpu_times(), time.perf_counter()
            time.sleep(IDLE_S)
            after = process.cpu_times()
            taken = after.user + after.system - before.user - before.system
            share = taken / (time.perf_counter() - started)
        yield f"{f'idle, {count} policies':36}{share:9.2%} of a core"


def under_load(
    scratch: Path, store: BundleStore, draft: BundleDraft, *, pinned: bool
) -> Iterator[str]:
    """Latency of calls beside reloads and without."""
    config = f"policies: {{bench: {{versions: all}}}}\npin_cpus: {str(pinned).lower()}\n"
    observation = draft.golden.observations[0]
    message = inference_pb2.PredictRequest(policy="bench", values_f32_le=observation.tobytes())
    with start(scratch, store, config) as server, InferenceClient(server.address) as client:
        load = Load(server.address, SERVICE + "Predict", message.SerializeToString(), scratch)
        before = sum(report.call_count for report in client.latency_reports("bench"))
        load.round(CALLERS, CALLS_PER_ROUND)
        alone = [load.round(CALLERS, CALLS_PER_ROUND) for _ in range(3)]
        publisher = Publisher(server.address, store, draft, RELOADS)
        publisher.start()
        beside = []
        while publisher.is_alive():
            beside.append(load.round(CALLERS, CALLS_PER_ROUND))
        alone += [load.round(CALLERS, CALLS_PER_ROUND) for _ in range(3)]
        answered = sum(report.call_count for report in client.latency_reports("bench")) - before
    calm = np.concatenate([each.latencies_us for each in alone])
    busy = np.concatenate([each.latencies_us for each in beside])
    title = "microseconds, pinned to a core" if pinned else "microseconds"
    yield f"{title:36}{'p50':>9}{'p99':>9}{'p99.9':>9}"
    yield row(f"Predict, callers: {CALLERS}", calm)
    ratio = np.percentile(busy, 99.0) / np.percentile(calm, 99.0)
    yield row(f"  beside {RELOADS} reloads", busy) + f"  {ratio:.2f} × p99"
    yield f"{'calls not answered':36}{load.sent - answered:9d} of {load.sent}"
    slowest = max(publisher.seconds)
    yield (
        f"{'rename → serving, under load':36}{np.median(publisher.seconds):9.2f} s, "
        f"at most {slowest:.2f} s"
    )


def row(name: str, latencies_us: NDArray[np.float64]) -> str:
    p50, p99, p999 = np.percentile(latencies_us, [50.0, 99.0, 99.9])
    return f"{name:36}{p50:9.0f}{p99:9.0f}{p999:9.0f}"


def main() -> None:
    """Measures and prints."""
    if not has_h2load():
        sys.exit("reload: h2load is missing, nothing was measured")
    model = DQN("MlpPolicy", Market(), policy_kwargs={"net_arch": LAYERS}, seed=1, buffer_size=1)
    observations = np.random.default_rng(1).normal(size=(64, OBSERVATION_SIZE))
    draft = make_draft(model, observations.astype(np.float32))
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        parts: dict[str, Part] = {
            "idle": idle,
            "at_rest": at_rest,
            "under_load": partial(under_load, pinned=False),
            "pinned": partial(under_load, pinned=True),
        }
        for name, part in parts.items():
            store = BundleStore(scratch / name)
            store.publish(draft)
            for line in part(scratch, store, draft):
                print(line, flush=True)


if __name__ == "__main__":
    main()
