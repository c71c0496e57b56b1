"""Rate and latency of the orchestrator: bars in, orders out, through the real services.

    python -m tests.bench.bench_orchestrator

Held-out bars of the five assets of the sample are replayed by an OrchestratorAgent in this process;
the inference and the risk service are processes of their own, spoken to over gRPC on loopback.
Every decision is made durable by the risk service, every order is journalled before it is sent.
All of it is measured with each service on a core of its own (`taskset`, `cpuset`), while the
orchestrator goes where it finds room; the rate also with services that go where they find room, and
there with a busy neighbour, too: a process of ordinary priority that spins.

- Full speed: stretches of bars one after the other, each with the decision log and without it, in
  turn and in both orders. A bar-decision is the decision on one bar of one asset.
- Paced: bars come at a fixed rate, as they do live, only faster.

Bar-to-order is the time from a tick's last bar to the broker's acceptance of its orders.
"""

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import grpc
import numpy as np
import yaml
from numpy.typing import NDArray

from orchestrator.agents import OrchestratorAgent
from orchestrator.brokers import PaperBroker, PaperBrokerSettings, PaperMarketSettings
from orchestrator.decision_log import TickRecord
from orchestrator.events import EventBus
from orchestrator.feeds import HistoryFeed
from orchestrator.mandate import Mandate
from orchestrator.settings import OrchestratorSettings
from tests.bench.neighbour import busy_neighbour
from tradewind.market import BarPanel, Bars, FeatureSpec, TradingTerms, load_sample, split_bars
from tradewind.process.heap import settle_heap
from tradewind.rpc import ServiceProcess
from tradewind.settings import parse_settings, read_yaml

SYMBOLS = ("BTC", "ETH", "LTC", "XRP", "EOS")
STRETCHES = 10
STRETCHES_NOT_PINNED = 4
TICKS_PER_STRETCH = 625  # in all 31,250 bar-decisions each way with pinned services
PACED_TICKS = 1_500
PACED_TICKS_PER_SECOND = 50.0
RISK_POLICY = Path(__file__).parents[2] / "config" / "risk_limits.yaml"
SPEC = FeatureSpec()
# SELL goes flat; without fees a policy that was never trained does not ruin the account.
TERMS = TradingTerms(initial_cash=20_000.0, position_fraction=0.5)
NO_COSTS = PaperMarketSettings(fee=0.0, half_spread=0.0, level_spacing=0.0)


class NoLog:
    """Stands for the decision log in the rounds that go without it."""

    def __init__(self, *_: object, **__: object) -> None: ...

    async def append(self, _record: TickRecord) -> None: ...

    def __enter__(self) -> "NoLog":
        return self

    def __exit__(self, *_: object) -> None: ...


@dataclass
class Measured:
    """What one kind of round came to.

    Attributes:
        rates: Bar-decisions a second of each round.
        to_order_us: Bar-to-order of each tick, in microseconds.
        ordering: Whether the tick sent orders.
        parts_us: The parts of it by name, in microseconds.
    """

    name: str
    rates: list[float] = field(default_factory=list)
    to_order_us: list[float] = field(default_factory=list)
    ordering: list[bool] = field(default_factory=list)
    parts_us: dict[str, list[float]] = field(default_factory=dict)
    decisions: int = 0

    def add(self, ticks: Sequence[TickRecord], seconds: float) -> None:
        """Takes in a round; the ticks of its warm-up decide nothing and do not count."""
        first = next(number for number, tick in enumerate(ticks) if tick.decisions)
        asked = ticks[first:]
        doubts = sorted({reason for tick in asked for reason in tick.reasons})
        if doubts:
            raise RuntimeError(f"{self.name}: not every tick was decided: {doubts}")
        count = sum(len(item.symbols) for tick in asked for item in tick.decisions)
        self.decisions += count
        self.rates.append(count / seconds)
        for tick in asked:
            self.to_order_us.append(tick.timings.bar_to_order_ns / 1e3)
            self.ordering.append(any(order.sent for order in tick.orders))
            for name in ("features", "predict", "evaluate", "journal", "submit"):
                taken = getattr(tick.timings, f"{name}_ns") / 1e3
                self.parts_us.setdefault(name, []).append(taken)

    def show(self) -> None:
        """Prints the latencies."""
        print(f"{self.name}: {self.decisions:,} bar-decisions, microseconds")
        every, ordering = np.array(self.to_order_us), np.array(self.ordering)
        rows = {"bar-to-order, ticks with orders": every[ordering], "bar-to-order, all": every}
        rows |= {f"  of it {name}": np.array(values) for name, values in self.parts_us.items()}
        for name, values in rows.items():
            p50, p99, p999 = np.percentile(values, [50.0, 99.0, 99.9])
            print(f"  {name:32}{len(values):8,}{p50:9.0f}{p99:9.0f}{p999:9.0f}")


def write_risk_policy(path: Path) -> None:
    """The default policy with every rule in shadow: all of its work, and nothing is stopped."""
    policy, _ = read_yaml(RISK_POLICY)
    for rule in policy["rules"]:
        rule["shadow"] = True
    path.write_text(yaml.safe_dump(policy, explicit_end=True))


class Replay:
    """Runs rounds, each on an account of its own.

    Args:
        folder: For the accounts.
        addresses: Where the services listen.
    """

    def __init__(self, folder: Path, addresses: Mapping[str, str]) -> None:
        self._folder, self._addresses = folder, addresses
        self._rounds = 0

    def run(
        self, series: Sequence[Bars], measured: Measured, *, log: bool, speed: float | None = None
    ) -> None:
        """Replays bars once and measures from the first tick that is decided to the last."""
        self._rounds += 1
        settings = self._settings(f"round-{self._rounds}")
        bus = EventBus(kept_ticks=len(series[0]))
        agent = OrchestratorAgent(
            settings,
            lambda after_ns, _: HistoryFeed(series, speed=speed, after_ns=after_ns),
            lambda markets: PaperBroker(
                Mandate(
                    settings.symbols,
                    settings.interval_ns,
                    cash=sum(item.cash for item in settings.allocations),
                    folder=settings.folder,
                    markets=markets,
                ),
                PaperBrokerSettings(market=NO_COSTS),
            ),
            bus,
        )
        with ExitStack() as stack:
            if not log:
                where = "orchestrator.agents.orchestrator.DecisionLogWriter"
                stack.enter_context(mock.patch(where, NoLog))
            settle_heap()  # as the command line does
            seconds = asyncio.run(self._time(agent, bus))
        measured.add(bus.snapshot().ticks, seconds)

    async def _time(self, agent: OrchestratorAgent, bus: EventBus) -> float:
        started = ended = 0.0
        publish = bus.publish

        def note(tick: TickRecord) -> None:
            nonlocal started, ended
            ended = time.perf_counter()
            started = started or (ended if tick.decisions else 0.0)
            publish(tick)

        with mock.patch.object(bus, "publish", note):
            await agent.run()
        return ended - started

    def _settings(self, account: str) -> OrchestratorSettings:
        folder = self._folder / account
        values: dict[str, Any] = {
            "account": account,
            "folder": folder,
            "services": dict(self._addresses),
            "allocations": [
                {"symbol": symbol, "policy": "bench", "cash": TERMS.initial_cash}
                for symbol in SYMBOLS
            ],
            # A slow tick is to show as what it took, not as one that was given up.
            "safety": {"budget_ms": 10_000.0},
            # A market that runs so fast is late by its own clock when it is late by a millisecond.
            "guard": {"max_lateness_s": 1e6},
            "log": {"folder": folder / "log"},
        }
        return parse_settings(values, OrchestratorSettings)


def measure_rate(
    replay: Replay, panel: BarPanel, stretches: int
) -> tuple[Measured, NDArray[np.float64]]:
    """Replays stretches at full speed, with the log and without.

    Returns:
        What those with it came to, and the rates of both. Shape [2, stretches].
    """
    logged, unlogged = Measured("full speed"), Measured("full speed without the log")
    replay.run(panel.slice(0, 400).series, Measured("warm-up"), log=True)
    for number in range(stretches):
        # The bars that warm the features up come before the stretch.
        start = number * TICKS_PER_STRETCH
        stretch = panel.slice(start, start + TICKS_PER_STRETCH + SPEC.lookback - 1).series
        for log in (True, False) if number % 2 else (False, True):
            replay.run(stretch, logged if log else unlogged, log=log)
    return logged, np.array([logged.rates, unlogged.rates])


def show_neighbour(replay: Replay, panel: BarPanel) -> None:
    """Prints the rate without a neighbour and with one, stretches in turn."""
    alone, beside = Measured("alone"), Measured("beside a busy neighbour")
    for number in range(STRETCHES_NOT_PINNED):
        start = number * TICKS_PER_STRETCH
        stretch = panel.slice(start, start + TICKS_PER_STRETCH + SPEC.lookback - 1).series
        replay.run(stretch, alone, log=True)
        with busy_neighbour():
            replay.run(stretch, beside, log=True)
    rates = np.array([alone.rates, beside.rates])
    print(f"bar-decisions/s, services not pinned: median {np.median(rates[0]):,.0f}")
    share = np.median(rates[1] / rates[0])
    print(f"  beside a busy neighbour {np.median(rates[1]):,.0f}, {share:.2f} × as many")


def measure(replay: Replay, panel: BarPanel) -> None:
    """Prints the table."""
    logged, rates = measure_rate(replay, panel, STRETCHES)
    paced = Measured(f"paced, {PACED_TICKS_PER_SECOND:g} ticks/s of {len(SYMBOLS)} bars")
    speed = PACED_TICKS_PER_SECOND * panel.interval_ns / 1e9
    replay.run(panel.slice(0, PACED_TICKS).series, paced, log=True, speed=speed)

    cost = float(np.median(1.0 - rates[0] / rates[1]))
    spread = ", ".join(f"{rate:,.0f}" for rate in rates[0])
    print(
        f"bar-decisions/s, a core for each service: median {np.median(rates[0]):,.0f} of {spread}"
    )
    print(f"  without the decision log {np.median(rates[1]):,.0f}; it costs {cost:.1%}")
    print(f"{'':34}{'ticks':>8}{'p50':>9}{'p99':>9}{'p99.9':>9}")
    logged.show()
    paced.show()


@contextmanager
def services(folder: Path, *, pinned: bool) -> Iterator[dict[str, str]]:
    """Starts the two services; gives their addresses by name."""
    commands = {
        "risk": [
            *("--policy", str(folder / "risk.yaml")),
            *("--database", f"sqlite:///{folder}/audit-{pinned}.sqlite"),
        ],
        "inference": ["--store", str(folder / "store")],
    }
    cores = os.sched_getaffinity(0)
    with ExitStack() as stack:
        addresses = {}
        stack.callback(os.sched_setaffinity, 0, cores)
        for index, (name, arguments) in enumerate(commands.items()):
            listen = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
            log = folder / f"{name}-{pinned}.log"
            if pinned:  # what is started inherits it
                os.sched_setaffinity(0, {sorted(cores)[index % len(cores)]})
            process = ServiceProcess(f"{name}_service", [*listen, *arguments], log=log)
            addresses[name] = stack.enter_context(process).address
        os.sched_setaffinity(0, cores)
        yield addresses


def main() -> None:
    """Starts the services and measures."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, grpcio {grpc.__version__}")
    panel = BarPanel.align([split_bars(load_sample(symbol), 0.2)[1] for symbol in SYMBOLS])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # In a process of its own: what trains policies is not part of an orchestrator.
        publish = [sys.executable, "-m", "tests.bench.untrained_policy", str(folder / "store")]
        subprocess.run(publish, check=True)
        write_risk_policy(folder / "risk.yaml")
        with services(folder, pinned=True) as addresses:
            measure(Replay(folder / "pinned", addresses), panel)
        with services(folder, pinned=False) as addresses:
            replay = Replay(folder / "not-pinned", addresses)
            show_neighbour(replay, panel)


if __name__ == "__main__":
    main()
