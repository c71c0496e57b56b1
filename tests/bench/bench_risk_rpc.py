"""Latency of CalculateOnly and Evaluate over gRPC.

    python -m tests.bench.bench_risk_rpc

Beside them, in the same run: a plain grpcio server that echoes the same request bytes with the same
number of threads. Clients send and receive bytes as they are, so that they cost the same whatever
the server does; rounds of each take turns. Evaluate makes every decision durable (fdatasync) before
it answers, on the disk of the temporary folder. `pinned` is a second service with `pin_cpu: true`,
beside an echo that is kept to the same core.
"""

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray

from tests.bench.echo import ECHO, echo_process
from tests.bench.neighbour import first_cores
from tradewind.api.risk.v1 import risk_pb2
from tradewind.market import load_sample
from tradewind.risk import OptionPosition, OrderBook, Position, RiskInputs
from tradewind.rpc import ServiceProcess
from tradewind.rpc.risk.risk_codec import risk_inputs_to_message

BARS = 256
ROUNDS = 8
CALLS_PER_ROUND = 1_000
WARM_UP_CALLS = 50
FLUSHES = 1_000
POLICY = Path(__file__).parents[2] / "config" / "risk_limits.yaml"
SERVICE = "/tradewind.api.risk.v1.RiskService/"

Latencies = NDArray[np.float64]


@dataclass
class Measured:
    """One thing called: where, with what, and how long each call took in nanoseconds."""

    name: str
    address: str
    method: str
    payload: bytes
    compute_ns: Callable[[bytes], int] | None = None
    latencies: list[Latencies] = field(default_factory=list)
    computes: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


def account(everything: bool) -> risk_pb2.RiskInputs:
    """What a trader of two assets sends, from real bars: the account, or all there is to send."""
    bars = load_sample("BTC")
    close, volume = bars.close[: BARS + 1], bars.volume[:BARS]
    times = bars.timestamps_ns[:BARS] / 1e9
    mid = float(close[-1])
    steps = np.arange(1.0, 11.0) * (1e-4 * mid)
    book = OrderBook(mid - steps, np.full(10, 5.0), mid + steps, np.full(10, 5.0))
    market = {
        "price_changes": np.diff(close),
        "order_flows": volume - np.median(volume),
        "order_books": {"BTC": book, "ETH": book},
        "feed_timestamps": {"trades": float(times[-1]), "books": float(times[-1])},
        "average_daily_volumes": {"BTC": 20_000.0, "ETH": 150_000.0},
        "options": (OptionPosition("BTC", "call", 2.0, 1.0, mid, mid, 0.2, 0.7),),
    }
    inputs = RiskInputs(
        portfolio_values=close[1:] * 10.0,
        timestamps=times,
        periods_per_year=bars.periods_per_year,
        start_of_day_value=float(close[-40] * 10.0),
        trade_timestamps=times[-20:],
        trade_notionals=np.diff(close)[-20:] * 100.0,
        capital_base=mid * 10.0,
        positions=(Position("BTC", 5.0, mid), Position("ETH", -20.0, 300.0)),
        now=float(times[-1]) + 0.25,
        **(market if everything else {}),  # type: ignore[arg-type]  # each of its own type
    )
    return risk_inputs_to_message(inputs)


def call_in_turn(
    channel: grpc.Channel, what: Measured, calls: int
) -> tuple[Latencies, list[bytes]]:
    """Calls one after the other; gives their latencies and answers."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(what.method)
    latencies, answers = np.empty(calls), []
    for number in range(calls):
        started = time.perf_counter_ns()
        answers.append(call(what.payload))
        latencies[number] = time.perf_counter_ns() - started
    return latencies, answers


def load(what: Measured, callers: int) -> None:
    """One round of callers, each with a connection of its own, in this process."""
    calls = CALLS_PER_ROUND // callers
    with contextlib.ExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [
            stack.enter_context(grpc.insecure_channel(what.address, options))
            for _ in range(callers)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(callers))
        list(pool.map(lambda channel: call_in_turn(channel, what, WARM_UP_CALLS), channels))
        started = time.perf_counter()
        results = list(pool.map(lambda channel: call_in_turn(channel, what, calls), channels))
        what.rates.append(calls * callers / (time.perf_counter() - started))
    what.latencies += [latencies for latencies, _ in results]
    if what.compute_ns is not None:
        what.computes += [what.compute_ns(answer) for _, answers in results for answer in answers]


def flushes(folder: Path) -> Latencies:
    """What the disk takes for one small append and fdatasync, with nothing else going on."""
    latencies = np.empty(FLUSHES)
    with (folder / "flushes").open("ab", buffering=0) as file:
        for number in range(FLUSHES):
            started = time.perf_counter_ns()
            file.write(b"x" * 2_000)
            os.fdatasync(file.fileno())
            latencies[number] = time.perf_counter_ns() - started
    return latencies


def show(name: str, latencies: Latencies, rate: float = float("nan"), beside: str = "") -> None:
    p50, p99, p999 = np.percentile(latencies, [50.0, 99.0, 99.9]) / 1e3
    shown = "" if np.isnan(rate) else f"{rate:.0f}"
    print(f"{name:28}{p50:9.1f}{p99:9.1f}{p999:9.1f}{shown:>9}  {beside}")


def measure(
    title: str,
    inputs: risk_pb2.RiskInputs,
    callers: int,
    servers: dict[str, tuple[str, str]],
) -> None:
    """Prints the rows of one payload and one number of callers."""
    calculate = risk_pb2.CalculateOnlyRequest(inputs=inputs).SerializeToString()
    evaluate = risk_pb2.EvaluateRequest(inputs=inputs).SerializeToString()
    calculated, evaluated = risk_pb2.CalculateOnlyResponse, risk_pb2.EvaluateResponse
    rows = []
    for how, (service, echo) in servers.items():
        rows += [
            Measured("echo" + how, echo, ECHO, calculate),
            Measured(
                "CalculateOnly" + how,
                service,
                SERVICE + "CalculateOnly",
                calculate,
                lambda data: calculated.FromString(data).compute_ns,
            ),
            Measured(
                "Evaluate" + how,
                service,
                SERVICE + "Evaluate",
                evaluate,
                lambda data: evaluated.FromString(data).metrics.compute_ns,
            ),
        ]
    for _ in range(ROUNDS):
        for row in rows:
            load(row, callers)
    print(f"{title}, {inputs.ByteSize()} bytes, callers: {callers}")
    floor = float("nan")
    for row in rows:
        latencies = np.concatenate(row.latencies)
        if row.method == ECHO:  # of the rows that come after it
            floor = float(np.median(latencies))
        ratio = float(np.median(latencies)) / floor
        show(f"  {row.name}", latencies, float(np.median(row.rates)), f"{ratio:.2f} × echo")
        if row.computes:
            show("    of it the calculation", np.array(row.computes, dtype=np.float64))


def main() -> None:
    """Measures and prints the table."""
    print(f"{BARS} bars, {platform.machine()}, {os.cpu_count()} cores, grpcio {grpc.__version__}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {}
        for how, pin in (("", "false"), (", pinned", "true")):
            settings = folder / f"pin_{pin}.yaml"
            settings.write_text(f"pin_cpu: {pin}\n")
            arguments = [
                "--config", str(settings),
                "--listen", "127.0.0.1:0",
                "--metrics-listen", "",
                "--policy", str(POLICY),
                "--database", f"sqlite:///{folder}/audit_{pin}.sqlite",
            ]  # fmt: skip
            service = ServiceProcess("risk_service", arguments, log=folder / f"server_{pin}.log")
            cores = first_cores(1) if pin == "true" else [None]
            echo = stack.enter_context(echo_process(cores))
            servers[how] = (stack.enter_context(service).address, echo)
        print(f"{'microseconds':28}{'p50':>9}{'p99':>9}{'p99.9':>9}{'calls/s':>9}  p50 beside")
        for title, everything in (("account", False), ("everything", True)):
            for callers in (1, 16):
                measure(title, account(everything), callers, servers)
        show("fdatasync alone", flushes(folder))


if __name__ == "__main__":
    main()
