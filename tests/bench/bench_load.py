"""Predict under a load generator written in C, which leaves the machine to the server.

    python -m tests.bench.bench_load

h2load (Debian's nghttp2-client) sends one gRPC request again and again, over one connection a
caller. Beside Predict, in the same run and in turn: a plain grpcio server that echoes the same
bytes with as many threads, in as many processes, kept to the same cores where the server is. The
second table is with a busy neighbour: a process of ordinary priority that spins, on the core of
what is pinned, otherwise wherever it is put. h2load reads no gRPC status, so the predictions that
the server's metrics count are compared with the calls that were sent.
"""

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from stable_baselines3 import DQN

from tests.bench.bench_predict import OBSERVATION_SIZE, SERVICE, Market, make_draft
from tests.bench.echo import ECHO, echo_process
from tests.bench.h2load import grpc_command, has_h2load, write_body
from tests.bench.neighbour import busy_neighbour, first_cores
from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BundleStore
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient

NETWORKS = ((64, 64), (256, 256))
CALLERS = (1, 16)
ROUNDS = 5
CALLS_PER_ROUND = 4_000
WARM_UP_CALLS = 400


@dataclass(frozen=True)
class Way:
    """How the service runs, and so the echo beside it.

    Attributes:
        name: As it is shown.
        workers: Processes that share the port.
        pinned: Each keeps to a core.
    """

    name: str
    workers: int
    pinned: bool

    @property
    def cores(self) -> list[int | None]:
        """Where each process stays; None: where it is put."""
        return [*first_cores(self.workers)] if self.pinned else [None] * self.workers


WAYS = (
    Way("1 worker", 1, pinned=False),
    Way("1 worker, pinned", 1, pinned=True),
    Way("2 workers", 2, pinned=False),
    Way("2 workers, pinned", 2, pinned=True),
)


@dataclass(frozen=True)
class Round:
    """What h2load saw: each call's latency, calls a second, and the cores it took itself."""

    latencies_us: NDArray[np.float64]
    calls_per_second: float
    own_cores: float


class Load:
    """Sends the same message again and again with h2load.

    Args:
        address: `HOST:PORT`.
        method: Path of the method.
        message: The request.
        scratch: Folder for the request and for h2load's log.
    """

    def __init__(self, address: str, method: str, message: bytes, scratch: Path) -> None:
        self._address, self._method = address, method
        self._body = scratch / "body"
        write_body(self._body, message)
        self._log = scratch / "log"
        self.sent = 0
        self.rounds: list[Round] = []

    def round(self, callers: int, calls: int) -> Round:
        """Calls from a number of callers, each with a connection of its own."""
        self._log.unlink(missing_ok=True)
        how_many = (f"--requests={calls}", f"--clients={callers}")
        command = grpc_command(self._address, self._method, self._body, self._log, *how_many)
        started, cpu_before = time.perf_counter(), children_cpu_s()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        own_cores = (children_cpu_s() - cpu_before) / (time.perf_counter() - started)
        self.sent += calls
        started_us, http_status, latencies_us = np.loadtxt(self._log, dtype=np.int64).T
        if len(latencies_us) != calls or (http_status != 200).any():
            raise RuntimeError(f"h2load: {self._method} answered with HTTP {set(http_status)}")
        elapsed_us = np.max(started_us + latencies_us) - np.min(started_us)
        return Round(latencies_us.astype(np.float64), calls / (elapsed_us * 1e-6), own_cores)

    def measure(self, callers: int) -> None:
        """Another round of those that count."""
        self.rounds.append(self.round(callers, CALLS_PER_ROUND))

    def percentile_us(self, percentage: float) -> float:
        latencies = np.concatenate([some.latencies_us for some in self.rounds])
        return float(np.percentile(latencies, percentage))

    def calls_per_second(self) -> float:
        return float(np.median([some.calls_per_second for some in self.rounds]))

    def own_cores(self) -> float:
        return float(np.median([some.own_cores for some in self.rounds]))


def children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def policy_name(layers: tuple[int, ...], callers: int) -> str:
    """A policy for each row, so that each row has the server's own histogram to itself."""
    return f"mlp-{'-'.join(map(str, layers))}-callers-{callers}"


def publish(store: BundleStore) -> bytes:
    """Publishes the policies of all rows; gives an observation as it is sent."""
    observations = np.random.default_rng(1).normal(size=(64, OBSERVATION_SIZE)).astype(np.float32)
    for layers in NETWORKS:
        model = DQN(
            "MlpPolicy", Market(), policy_kwargs={"net_arch": list(layers)}, seed=1, buffer_size=1
        )
        draft = make_draft(model, observations)
        for callers in CALLERS:
            store.publish(replace(draft, name=policy_name(layers, callers)))
    return observations[:1].tobytes()


@dataclass(frozen=True)
class Running:
    """The service and the echo of one way."""

    way: Way
    server: ServiceProcess
    echo_address: str


@contextmanager
def running(scratch: Path, store: BundleStore) -> Iterator[list[Running]]:
    """Starts the servers of every way, idle until they are asked."""
    with ExitStack() as stack:
        found = []
        for number, way in enumerate(WAYS):
            config = scratch / f"config-{number}.yaml"
            config.write_text(f"{{workers: {way.workers}, pin_cpus: {str(way.pinned).lower()}}}")
            arguments = ["--config", str(config), "--store", str(store.root)]
            arguments += ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
            log = scratch / f"server-{number}.log"
            server = ServiceProcess("inference_service", arguments, log=log)
            stack.enter_context(server)
            found.append(Running(way, server, stack.enter_context(echo_process(way.cores))))
        yield found


def measure(scratch: Path) -> Iterator[str]:
    """Every line, in the order of the tables."""
    store = BundleStore(scratch / "store")
    observation = publish(store)
    with running(scratch, store) as servers:
        for layers in NETWORKS:
            for callers in CALLERS:
                # One connection is one worker's.
                asked = [each for each in servers if callers > 1 or each.way.workers == 1]
                yield f"{'-'.join(map(str, layers))}, callers: {callers}"
                policy = policy_name(layers, callers)
                yield from compare(scratch, asked, policy, observation, callers)
        for callers in CALLERS:
            asked = [each for each in servers if each.way.workers == 1]
            yield f"with a busy neighbour, {'-'.join(map(str, NETWORKS[0]))}, callers: {callers}"
            policy = policy_name(NETWORKS[0], callers)
            yield from compare(scratch, asked, policy, observation, callers, neighbour=True)


def compare(
    scratch: Path,
    servers: list[Running],
    policy: str,
    observation: bytes,
    callers: int,
    *,
    neighbour: bool = False,
) -> Iterator[str]:
    """Echo and Predict of each way in turn, round after round."""
    request = inference_pb2.PredictRequest(policy=policy, values_f32_le=observation)
    message = request.SerializeToString()
    method = SERVICE + "Predict"
    loads = {
        each.way: (
            Load(each.echo_address, ECHO, message, scratch),
            Load(each.server.address, method, message, scratch),
        )
        for each in servers
    }
    before = {each.way: predictions(each.server, policy) for each in servers}
    for number in range(ROUNDS + 1):
        for way, pair in loads.items():
            with ExitStack() as stack:
                if neighbour:
                    stack.enter_context(busy_neighbour(core=way.cores[0]))
                for load in pair:
                    if number == 0:
                        load.round(callers, WARM_UP_CALLS)
                    else:
                        load.measure(callers)
    for each in servers:
        echo, predict = loads[each.way]
        yield line(f"echo, {each.way.name}", echo)
        yield line(f"Predict, {each.way.name}", predict, echo)
        answered = predictions(each.server, policy) - before[each.way]
        if answered != predict.sent:
            raise RuntimeError(f"{policy}: {predict.sent} calls sent, {answered} answered")
        if not neighbour:  # of all calls since the server's start
            yield network_line(each.server, policy)
    rates = {way.name: predict.calls_per_second() for way, (_, predict) in loads.items()}
    if "2 workers" in rates:
        ratio = rates["2 workers"] / rates["1 worker"]
        pinned = rates["2 workers, pinned"] / rates["1 worker, pinned"]
        yield f"  2 workers: {ratio:.2f} × the calls/s of 1; pinned: {pinned:.2f} ×"


def line(name: str, load: Load, echo: Load | None = None) -> str:
    """Latencies and throughput, and these set beside the echo's."""
    beside = ""
    if echo is not None:
        p50 = load.percentile_us(50.0) / echo.percentile_us(50.0)
        rate = load.calls_per_second() / echo.calls_per_second()
        beside = f"  {p50:.2f} × p50, {rate:.2f} × calls/s of the echo"
    percentiles = "".join(f"{load.percentile_us(p):9.1f}" for p in (50.0, 99.0, 99.9))
    return f"  {name:32}{percentiles}{load.calls_per_second():9.0f}{load.own_cores():8.2f}{beside}"


def network_line(server: ServiceProcess, policy: str) -> str:
    """The network's part, as the server measured it; with several workers, the one that answers."""
    with InferenceClient(server.address) as client:
        (report,) = client.latency_reports(policy)
    over = report.slo_violation_count / report.call_count
    return (
        f"    {'of it the network':30}{report.p50_us:9.1f}{report.p99_us:9.1f}"
        f"{report.p999_us:9.1f}{'':17}  {over:.3%} over {report.slo_us:.0f} µs"
    )


def predictions(server: ServiceProcess, policy: str) -> int:
    """Predictions that all workers of a server gave, from its metrics."""
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics") as page:
        families = list(text_string_to_metric_families(page.read().decode()))
    return sum(
        int(sample.value)
        for family in families
        for sample in family.samples
        if sample.name == "tradewind_inference_predictions_total"
        and sample.labels["policy"] == policy
    )


def main() -> None:
    """Measures and prints the table."""
    if not has_h2load():
        sys.exit("load: h2load is missing, nothing was measured")
    print(
        f"DQN on {OBSERVATION_SIZE} numbers, {platform.machine()}, {os.cpu_count()} cores, "
        f"grpcio {grpc.__version__}; h2load takes its cores of the same ones"
    )
    print(f"{'microseconds':34}{'p50':>9}{'p99':>9}{'p99.9':>9}{'calls/s':>9}{'h2load':>8}")
    with tempfile.TemporaryDirectory() as scratch:
        for text in measure(Path(scratch)):
            print(text, flush=True)


if __name__ == "__main__":
    main()
