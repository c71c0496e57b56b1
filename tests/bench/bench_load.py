"""Predict under a load generator written in C, which leaves the machine to the server.

    python -m tests.bench.bench_load

h2load (Debian's nghttp2-client) sends one gRPC request again and again, over one connection a
caller. Beside Predict, in the same run and in turn: a plain grpcio server that echoes the same
bytes with the same number of threads. h2load reads no gRPC status, so the calls that the server
counts as answered with an action are compared with those that were sent.
"""

import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import DQN

from tests.bench.bench_predict import OBSERVATION_SIZE, SERVICE, Market, make_draft
from tests.bench.echo import ECHO, echo_process
from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BundleStore
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = ((64, 64), (256, 256))
CALLERS = (1, 16)
ROUNDS = 5
CALLS_PER_ROUND = 4_000
WARM_UP_CALLS = 400


@dataclass(frozen=True)
class Round:
    """What h2load saw: each call's latency in microseconds, and calls a second."""

    latencies_us: NDArray[np.float64]
    calls_per_second: float


class Load:
    """Sends the same message again and again with h2load.

    Args:
        address: `HOST:PORT`.
        method: Path of the method.
        message: The request.
        scratch: Folder for the request and for h2load's log.
    """

    def __init__(self, address: str, method: str, message: bytes, scratch: Path) -> None:
        self._url = f"http://{address}{method}"
        self._body = scratch / "body"
        self._body.write_bytes(struct.pack(">BI", 0, len(message)) + message)
        self._log = scratch / "log"
        self.sent = 0

    def round(self, callers: int, calls: int) -> Round:
        """Calls from a number of callers, each with a connection of its own."""
        self._log.unlink(missing_ok=True)
        command = ["h2load", f"--requests={calls}", f"--clients={callers}", "--threads=1"]
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        command += [f"--data={self._body}", f"--log-file={self._log}", self._url]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self.sent += calls
        started_us, http_status, latencies_us = np.loadtxt(self._log, dtype=np.int64).T
        if len(latencies_us) != calls or (http_status != 200).any():
            raise RuntimeError(f"h2load: {self._url} answered with HTTP {set(http_status)}")
        elapsed = np.max(started_us + latencies_us) - np.min(started_us)
        return Round(latencies_us.astype(np.float64), calls / (elapsed * 1e-6))


@dataclass(frozen=True)
class Row:
    """A line of the table, and the line of the echo that it is set beside."""

    name: str
    rounds: list[Round]
    echo: "Row | None" = None

    def p50_us(self) -> float:
        return float(np.median(np.concatenate([some.latencies_us for some in self.rounds])))

    def calls_per_second(self) -> float:
        return float(np.median([some.calls_per_second for some in self.rounds]))

    def __str__(self) -> str:
        latencies = np.concatenate([some.latencies_us for some in self.rounds])
        p50, p99, p999 = np.percentile(latencies, [50.0, 99.0, 99.9])
        rate = self.calls_per_second()
        beside = ""
        if self.echo is not None:
            beside = (
                f"  {p50 / self.echo.p50_us():.2f} × p50, "
                f"{rate / self.echo.calls_per_second():.2f} × calls/s of the echo"
            )
        return f"{self.name:36}{p50:9.1f}{p99:9.1f}{p999:9.1f}{rate:9.0f}{beside}"


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


def measure(scratch: Path) -> Iterator[str]:
    """Every line, in the order of the table."""
    store = BundleStore(scratch / "store")
    observation = publish(store)
    arguments = ["--listen", "127.0.0.1:0", "--store", str(store.root)]
    with ExitStack() as stack:
        process = ServiceProcess("inference_service", arguments, log=scratch / "server.log")
        server = stack.enter_context(process)
        client = stack.enter_context(InferenceClient(server.address))
        echo_address = stack.enter_context(echo_process())
        for layers in NETWORKS:
            for callers in CALLERS:
                name = policy_name(layers, callers)
                message = inference_pb2.PredictRequest(
                    policy=name, values_f32_le=observation
                ).SerializeToString()
                loads = {
                    "echo": Load(echo_address, ECHO, message, scratch),
                    "predict": Load(server.address, SERVICE + "Predict", message, scratch),
                }
                for load in loads.values():
                    load.round(callers, WARM_UP_CALLS)
                rounds: dict[str, list[Round]] = {key: [] for key in loads}
                for _ in range(ROUNDS):
                    for key, load in loads.items():
                        rounds[key].append(load.round(callers, CALLS_PER_ROUND))
                echo = Row(f"echo, callers: {callers}", rounds["echo"])
                yield str(echo)
                yield str(Row(name.replace("-callers-", ", callers: "), rounds["predict"], echo))
                yield compute_line(client, name, loads["predict"].sent)


def compute_line(client: InferenceClient, policy: str, sent: int) -> str:
    """The network's part, as the server measured it; every call must have been answered."""
    (report,) = client.latency_reports(policy)
    if report.call_count != sent:
        raise RuntimeError(f"{policy}: {sent} calls sent, {report.call_count} answered")
    over = report.slo_violation_count / report.call_count
    return (
        f"{'  of it the network':36}{report.p50_us:9.1f}{report.p99_us:9.1f}{report.p999_us:9.1f}"
        f"{'':9}  {over:.3%} over {report.slo_us:.0f} µs"
    )


def main() -> None:
    """Measures and prints the table."""
    if shutil.which("h2load") is None and subprocess.run([ROOT / "tools/h2load.sh"]).returncode:
        sys.exit("load: h2load is missing, nothing was measured")
    print(
        f"DQN on {OBSERVATION_SIZE} numbers, {platform.machine()}, {os.cpu_count()} cores, "
        f"grpcio {grpc.__version__}, h2load on the same cores"
    )
    print(f"{'microseconds':36}{'p50':>9}{'p99':>9}{'p99.9':>9}{'calls/s':>9}")
    with tempfile.TemporaryDirectory() as scratch:
        for line in measure(Path(scratch)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
