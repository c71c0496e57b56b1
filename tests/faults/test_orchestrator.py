"""An orchestrator and the services it asks, each in a namespace of its own, and cut cables."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.account.journal import Journal
from orchestrator.brokers.books import Books
from orchestrator.decision_log import DecisionLog
from risk_service.verify import main as verify
from tests.faults.namespaces import Link, Network
from tests.faults.scenario import RECOVERY_LIMIT_S, Outcome
from tests.faults.stack import Stack
from tests.faults.test_partition import CUT_S
from tests.integration.orchestrator.conftest import RISK_POLICY, SYMBOLS, publisher
from tests.integration.orchestrator.test_kill import check_books
from tests.waiting import wait_until
from tradewind.bundle import BundleDraft
from tradewind.errors import NotFoundError
from tradewind.rpc.clients import RiskClient

MISSING = Network.missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

ASKED = ("inference_service", "risk_service")
CASH = 20_000.0
BUDGET_MS = 100.0
BAR_S = 1_800.0
TICKS_PER_S = 8.0
# Before the first cut and after each.
TICKS_WITH_ORDERS = 3
# An order that a cut came after may still be open, and the symbol is not asked about until it ends.
SETTLE_S = 1.0
CUTS: tuple[tuple[str, Callable[[Link], None], Callable[[Link], None], str], ...] = (
    ("risk_service", Link.swallow, Link.deliver, "an orchestrator's packets to risk swallowed"),
    ("inference_service", Link.swallow, Link.deliver, "those to inference swallowed"),
    ("risk_service", Link.unplug, Link.plug, "the cable of its risk service pulled"),
    ("orchestrator", Link.unplug, Link.plug, "its own cable pulled"),
)
Tick = dict[str, Any]
EXPECTED = {
    "risk_service": {"DEADLINE", "RISK_UNAVAILABLE"},
    "inference_service": {"DEADLINE", "INFERENCE_UNAVAILABLE"},
    "orchestrator": {"DEADLINE", "RISK_UNAVAILABLE", "INFERENCE_UNAVAILABLE"},
}


def has_orders(tick: Tick) -> bool:
    """Whether any order of a tick was sent."""
    return any(order["sent"] for order in tick["orders"])


def is_decided(tick: Tick) -> bool:
    """Whether every answer came and was verified: what the policy wants is sent."""
    return bool(tick["outcome"] == "DECIDED")


@dataclass
class Trader:
    """An account on paper, and where its orchestrator runs."""

    folder: Path
    link: Link
    settings: dict[str, Any]

    @contextlib.contextmanager
    def run(self, **feed: float) -> Iterator[subprocess.Popen[bytes]]:
        """An orchestrator, which is gone after the block."""
        config = self.folder / "orchestrator.yaml"
        values = {**self.settings, "feed": {**self.settings["feed"], **feed}}
        config.write_text(yaml.safe_dump(values))
        command = [*self.link.launcher, sys.executable, "-m", "orchestrator", "--config"]
        with (
            (self.folder / "orchestrator.log").open("ab") as log,
            subprocess.Popen([*command, str(config)], stdout=log, stderr=log) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    @property
    def log(self) -> DecisionLog:
        """What it decided."""
        return DecisionLog(self.folder / "log")

    def wait_for_ticks(self, wanted: Callable[[Tick], bool], since_ns: int, count: int = 1) -> int:
        """Waits for some ticks that were decided since a moment; gives when the first one was."""
        found: list[int] = []

        def came() -> bool:
            with contextlib.suppress(NotFoundError):
                found[:] = [tick["decided_ns"] for tick in self.ticks(since_ns) if wanted(tick)]
            return len(found) >= count

        wait_until(came, f"{count} × {wanted.__name__}")
        return found[0]

    def ticks(self, since_ns: int) -> list[Tick]:
        """Those that were decided since a moment, with times in nanoseconds."""
        ticks = self.log.decided_since(since_ns).ticks
        decided = ticks["decided_ns"].cast("int64").to_pylist()
        rows = ticks.select(["outcome", "reasons", "orders", "decisions", "risk", "timings"])
        return [
            {**row, "decided_ns": at} for row, at in zip(rows.to_pylist(), decided, strict=True)
        ]


@pytest.fixture
def network() -> Iterator[Network]:
    with Network((*ASKED, "orchestrator")) as network:
        yield network


@pytest.fixture
def stack(
    network: Network,
    make_stack: Callable[..., Stack],
    released_draft: Callable[..., BundleDraft],
) -> Stack:
    """Both services that an orchestrator asks, with a policy that trades."""
    stack = make_stack(
        links=network.links, risk_policy=yaml.safe_dump(RISK_POLICY, explicit_end=True)
    )
    publisher(stack.store, released_draft)()
    for name in ASKED:
        stack.start(name)
    return stack


@pytest.fixture
def trader(stack: Stack, network: Network) -> Trader:
    folder = stack.folder / "orchestrator"
    folder.mkdir()
    settings = {
        "folder": str(folder),
        "services": {name.removesuffix("_service"): stack.addresses[name] for name in ASKED},
        "allocations": [
            {"symbol": symbol, "policy": "tiny-dqn", "cash": CASH} for symbol in SYMBOLS
        ],
        "feed": {"kind": "sample", "held_out_fraction": 0.05},
        # Its time is that of the market, which is thousands of times as fast here.
        "guard": {"max_lateness_s": 1e9},
        "safety": {"budget_ms": BUDGET_MS},
        "log": {"folder": str(folder / "log"), "flush_s": 0.05},
    }
    return Trader(folder, network.links["orchestrator"], settings)


def check_orders(ticks: list[Tick]) -> None:
    """No order but on answers that came in the budget of its tick."""
    for tick in ticks:
        if not has_orders(tick):
            continue
        assert "DEADLINE" not in tick["reasons"], tick
        assert tick["risk"]["decision_id"], tick
        sent = {order["symbol"] for order in tick["orders"] if order["sent"]}
        used = [item for item in tick["decisions"] if not item["reason"]]
        assert sent <= {symbol for item in used for symbol in item["symbols"]}, tick
        for name in ("predict_ns", "evaluate_ns"):
            assert 0 < tick["timings"][name] <= BUDGET_MS * 1e6, tick


def check_records(trader: Trader, stack: Stack) -> None:
    """Journal, broker, decision log and audit trail tell of the same orders, fills and cash."""
    log = trader.log
    check_books(log)
    journal = Journal(trader.folder / "default.journal")
    journal.close()
    books = Books(trader.folder / "default.broker", cash=len(SYMBOLS) * CASH)
    holdings, filled = books.holdings(), books.fills(0)
    books.close()
    with sqlite3.connect(trader.folder / "default.broker") as database:
        known = database.execute("SELECT client_order_id, quantity FROM orders ORDER BY rowid")
        accepted = known.fetchall()
    written = [order for entry in journal.entries for order, _ in entry.orders]
    assert accepted == [(order.client_order_id, order.quantity) for order in written]
    sent = [order for order in log.flat("orders").to_pylist() if order["sent"]]
    assert accepted == [(order["client_order_id"], order["quantity"]) for order in sent]
    assert filled == [fill for entry in journal.entries for fill in entry.fills]
    logged = log.flat("fills").to_pylist()
    assert [(fill.sequence, fill.quantity, fill.price, fill.fee) for fill in filled] == [
        (fill["fill_sequence"], fill["quantity"], fill["price"], fill["fee"]) for fill in logged
    ]
    last = log.ticks.slice(len(log.ticks) - 1).to_pylist()[0]
    assert holdings.cash == pytest.approx(last["cash"], abs=0.005)
    held = {item["symbol"]: item["quantity"] for item in last["positions"] if item["quantity"]}
    assert holdings.positions == pytest.approx(held)
    answered = [tick["risk"]["decision_id"] for tick in log.ticks.to_pylist() if tick["risk"]]
    with RiskClient(stack.addresses["risk_service"], timeout_s=20.0) as risk:
        recorded = [record.decision_id for record in risk.list_decisions()]
    assert len(set(recorded)) == len(recorded)
    assert set(answered) <= set(recorded)
    assert verify(["--database", stack.database]) == 0


def check_held(trader: Trader, since_ns: int, until_ns: int, reasons: set[str]) -> None:
    """Ticks went on, and each did the safe thing and says why."""
    ticks = [tick for tick in trader.ticks(since_ns) if tick["decided_ns"] < until_ns]
    assert len(ticks) > CUT_S * TICKS_PER_S / 4, len(ticks)
    for tick in ticks:
        assert tick["outcome"] == "HELD", tick
        assert reasons & set(tick["reasons"]), tick
        assert not has_orders(tick), tick


def test_network_cut_mid_replay_sends_no_order_without_answers_and_loses_none(
    network: Network, stack: Stack, trader: Trader, outcomes: list[Outcome]
) -> None:
    with trader.run(speed=TICKS_PER_S * BAR_S) as process:
        trader.wait_for_ticks(has_orders, 0, TICKS_WITH_ORDERS)
        for name, cut, mend, fault in CUTS:
            cut(network.links[name])
            cut_ns = time.time_ns()
            time.sleep(CUT_S)
            mended_ns = time.time_ns()
            mend(network.links[name])
            recovery_s = (trader.wait_for_ticks(is_decided, mended_ns) - mended_ns) * 1e-9
            check_held(trader, cut_ns + round(SETTLE_S * 1e9), mended_ns, EXPECTED[name])
            trader.wait_for_ticks(has_orders, mended_ns, TICKS_WITH_ORDERS)
            ended = [tick["outcome"] for tick in trader.ticks(0)]
            outcomes.append(Outcome(fault, ended.count("DECIDED"), ended.count("HELD"), recovery_s))
            assert recovery_s <= RECOVERY_LIMIT_S, f"{fault}: trades after {recovery_s:.1f} s"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    check_orders(trader.ticks(0))
    with trader.run() as process:  # the rest of the bars, as fast as they are decided
        assert process.wait(120) == 0
    check_records(trader, stack)
