"""A halted account in a falling market, over the real services: it stops losing, and says so."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from orchestrator.agents import OrchestratorAgent
from orchestrator.agents.runner import build_agent
from orchestrator.analysis.decision_replay import verify
from orchestrator.brokers import Broker, Order, OrderState, OrderStatus
from orchestrator.decision_log import DecisionLog
from orchestrator.settings import OrchestratorSettings
from tests.integration.orchestrator.conftest import SPEC, SYMBOLS, TERMS, Desk, open_desk
from tests.integration.orchestrator.test_kill import check_books
from tradewind.bundle import (
    BoxSpace,
    BundleDraft,
    BundleStore,
    Distribution,
    FeatureRecord,
    GoldenSet,
)
from tradewind.market.markets import market_named
from tradewind.risk import RiskInputs
from tradewind.rpc.clients import RiskClient
from trainer_service.export import serialize

Times = NDArray[np.int64]
ROOT = Path(__file__).resolve().parents[3]
BAR_NS = 1_800_000_000_000
START_NS = 1_600_000_200_000_000_000
QUIET, COUNT = 40, 160
HALT_AT, RUIN_AT = 0.05, 0.3
POLICY = {
    "limits": {"max_drawdown": {"limit": HALT_AT}},
    "rules": [
        {"name": "drawdown_halt", "when": {"metric": "max_drawdown"}, "action": "HALT"},
        {
            "name": "ruin",
            "when": {"metric": "max_drawdown", "over": RUIN_AT},
            "action": "LIQUIDATE",
        },
    ],
}


class Long(nn.Module):
    """Buys what it may, and keeps it."""

    def __init__(self, symbol_count: int) -> None:
        super().__init__()
        self.ones = nn.Parameter(torch.ones(symbol_count), requires_grad=False)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return obs[:, :1] * 0.0 + self.ones

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        return self.forward(obs)


def publish_long(desk: Desk, name: str, symbols: tuple[str, ...] = ()) -> None:
    count = len(symbols) or 1
    size = count * SPEC.observation_size
    observations = np.random.default_rng(3).normal(size=(16, size)).astype(np.float32)
    answers = np.ones((16, count), dtype=np.float32)
    desk.publish(
        terms=TERMS.model_copy(update={"actions": "continuous", "position_fraction": 0.9}),
        features=FeatureRecord(
            spec=SPEC.model_dump(mode="json"), digest=SPEC.digest, symbols=symbols
        ),
        name=name,
        algo="SB3-TD3",
        policy_pt=serialize(torch.jit.script(Long(count).eval())),
        golden=GoldenSet(observations, answers, answers),
        obs_space=BoxSpace(shape=(size,)),
        action_space=BoxSpace.from_bounds((count,), -1.0, 1.0),
        distribution=Distribution(kind="deterministic"),
    )


@pytest.fixture(scope="module")
def falling(
    tmp_path_factory: pytest.TempPathFactory, released_draft: Callable[..., BundleDraft]
) -> Iterator[Desk]:
    """A desk whose policies hold what they bought, and whose risk policy halts them."""
    with open_desk(tmp_path_factory.mktemp("falling"), released_draft) as desk:
        desk.set_risk_policy(POLICY)
        publish_long(desk, "long")
        publish_long(desk, "long-panel", SYMBOLS)
        desk.wait_until_served("long", "long-panel")
        yield desk


def session_times(first: str, count: int = COUNT) -> Times:
    """Starts of half hours of New York."""
    times = [int(datetime.fromisoformat(first).replace(tzinfo=UTC).timestamp()) * 10**9]
    while len(times) < count:
        times.append(market_named("XNYS").next_bar_start_ns(times[-1], BAR_NS))
    return np.array(times, dtype=np.int64)


def write_bars(
    folder: Path, volume: float = 1e9, night: int | None = None, times: Times | None = None
) -> dict[str, str]:
    """Bars that stand still and then lose 1 % each; a night of 16 hours follows bar `night`."""
    steps = np.where(np.arange(COUNT) < QUIET, 0.0, np.log(0.99))
    closes = 100.0 * np.exp(np.cumsum(steps))
    opens = np.concatenate([[100.0], closes[:-1]])
    if times is None:
        times = START_NS + np.arange(COUNT, dtype=np.int64) * BAR_NS
    if night is not None:
        times[night + 1 :] += 32 * BAR_NS
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for symbol in SYMBOLS:
        columns = {
            "timestamp": pa.array(times, type=pa.timestamp("ns", tz="UTC")),
            "open": opens,
            "high": np.maximum(opens, closes),
            "low": np.minimum(opens, closes),
            "close": closes,
            "volume": np.full(COUNT, volume),
        }
        columns = {name: column[: len(times)] for name, column in columns.items()}
        files[symbol] = str(folder / f"{symbol}.parquet")
        pq.write_table(pa.table(columns), files[symbol])
    return files


def account(desk: Desk, name: str, **changes: Any) -> OrchestratorSettings:
    bars = {key: changes.pop(key) for key in ("volume", "night", "times") if key in changes}
    files = write_bars(desk.folder / f"{name}-bars", **bars)
    values = {
        "allocations": [{"symbol": item, "policy": "long", "cash": 20_000.0} for item in SYMBOLS],
        "feed": {"kind": "files", "files": files},
        **changes,
    }
    return desk.account(name, **values)


class Listening:
    """An agent, and what it announced."""

    def __init__(self, settings: OrchestratorSettings) -> None:
        self.agent: OrchestratorAgent = build_agent(settings)
        self.said: list[str] = []
        self.agent.bus.listen(self.said.append)

    def use(self, change: Callable[[Broker], Any]) -> "Listening":
        opened = self.agent._open_broker
        self.agent._open_broker = lambda markets: change(opened(markets))
        return self

    def run(self) -> "Listening":
        asyncio.run(self.agent.run())
        return self

    @property
    def held(self) -> dict[str, float]:
        symbols = self.agent.portfolio.symbols
        return {name: self.agent.portfolio.quantity(name) for name in symbols}


def drawdowns(settings: OrchestratorSettings) -> tuple[float, float]:
    """When the account was halted first, and at the end."""
    ticks = DecisionLog(settings.log.folder).ticks
    equity = np.asarray(ticks["equity"], dtype=np.float64)
    drawdown = 1.0 - equity / np.maximum.accumulate(equity)
    halted = [bool(risk and risk["halted"]) for risk in ticks["risk"].to_pylist()]
    return float(drawdown[halted.index(True)]), float(drawdown.max())


def check_replay(settings: OrchestratorSettings, desk: Desk) -> None:
    found = verify(DecisionLog(settings.log.folder), BundleStore(desk.folder / "store"))
    assert found.equal, found.first_difference


HALT = QUIET + 5  # the bar at whose close 5 % are lost
FLAT = dict.fromkeys(SYMBOLS, 0.0)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("singles", {}),
        ("panel", {"allocations": [{"symbols": SYMBOLS, "policy": "long-panel", "cash": 6e4}]}),
    ],
)
def test_halted_account_under_the_defaults_stops_losing_and_says_what_it_does(
    falling: Desk, name: str, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    settings = account(falling, name, **changes)
    done = Listening(settings).run()
    at_halt, at_end = drawdowns(settings)
    assert at_halt > HALT_AT
    # A bar until the order is filled, another at most for its price: 1 % each, and the costs.
    assert at_end < at_halt + 0.03
    assert done.held == FLAT
    _, first, then = done.said
    assert "HALTED (HALT) by rule drawdown_halt: max_drawdown is 0.05" in first
    assert "its limit 0.05: its positions are being closed: BTC" in first
    assert f"tradewind risk resume {name} --address {falling.risk.address}" in first
    assert "now it holds nothing any more" in then
    errors = [item.getMessage() for item in caplog.records if item.levelname == "ERROR"]
    assert errors == [f"account {name}: {first}"]
    assert done.agent.bus.snapshot().counters["halts"] == 1
    check_replay(settings, falling)


def test_halted_account_that_holds_says_so_and_is_liquidated_at_the_next_rule(
    falling: Desk,
) -> None:
    settings = account(falling, "holding", safety__on_halt="hold")
    done = Listening(settings).run()
    at_halt, at_end = drawdowns(settings)
    assert at_halt < HALT_AT + 0.02
    assert RUIN_AT < at_end < RUIN_AT + 0.03
    assert done.held == FLAT
    begin, halted, liquidated, flat = done.said
    assert "safety.on_halt is hold" in begin
    assert "HALTED (HALT)" in halted
    assert "positions are kept (safety.on_halt: hold)" in halted
    assert "HALTED (LIQUIDATE) by rule ruin" in liquidated
    assert "being closed" in liquidated
    assert "holds nothing any more" in flat


def test_halt_before_a_night_closes_the_positions_when_the_market_is_open_again(
    falling: Desk,
) -> None:
    # The loss of 5 % is there at bar QUIET + 5: the night comes right after it.
    settings = account(falling, "night", night=QUIET + 5)
    done = Listening(settings).run()
    assert done.held == FLAT
    ticks = DecisionLog(settings.log.folder).ticks.to_pylist()
    held = [any(item["quantity"] for item in tick["positions"]) for tick in ticks]
    assert held[QUIET + 5]
    assert not any(held[QUIET + 8 :])


def halted_at(settings: OrchestratorSettings) -> int:
    """Number of the tick at which an account was halted."""
    risks = DecisionLog(settings.log.folder).ticks["risk"].to_pylist()
    return [bool(risk and risk["halted"]) for risk in risks].index(True)


def check_closing(settings: OrchestratorSettings, times: Times, symbols: Sequence[str]) -> None:
    """What was held at the halt is closed within the market's next bar, and nothing after it."""
    log = DecisionLog(settings.log.folder)
    halt = halted_at(settings)
    orders = [item for item in log.flat("orders").to_pylist() if item["reason"] == "FLATTEN"]
    assert [(item["symbol"], item["sent"]) for item in orders] == [(name, True) for name in symbols]
    names = {item["client_order_id"] for item in orders}
    assert names == {f"{settings.account}-{halt}-{name}" for name in symbols}
    fills = [item for item in log.flat("fills").to_pylist() if item["client_order_id"] in names]
    assert len(fills) == len(symbols)
    for fill in fills:
        assert times[halt + 1] <= fill["filled_ns"].value < times[halt + 1] + BAR_NS
    ticks = log.ticks.to_pylist()
    held = [any(item["quantity"] for item in tick["positions"]) for tick in ticks]
    assert held[halt]
    assert not any(held[halt + 1 :])


@pytest.mark.parametrize(
    ("name", "first", "hours"),
    [
        ("before-last", "2020-09-15 16:00", 0.0),
        ("last", "2020-09-15 16:30", 65.5),  # of a Friday: to Monday's opening
        ("first", "2020-09-15 17:00", 0.0),
        ("half-day", "2019-11-25 14:30", 68.5),  # the last of the day after Thanksgiving
    ],
)
def test_halt_near_the_end_of_a_session_closes_the_positions_in_the_markets_next_bar(
    falling: Desk, name: str, first: str, hours: float
) -> None:
    times = session_times(first)
    settings = account(falling, f"session-{name}", times=times, market="XNYS")
    done = Listening(settings).run()
    halt = halted_at(settings)
    assert (times[halt + 1] - times[halt] - BAR_NS) / 3_600e9 == hours
    assert done.held == FLAT
    check_closing(settings, times, SYMBOLS)
    _, _, then = done.said
    assert "now it holds nothing any more" in then
    check_replay(settings, falling)


def test_account_halted_at_the_last_bar_of_a_week_and_started_again_closes_at_the_next_opening(
    falling: Desk,
) -> None:
    times = session_times("2020-09-15 16:30")
    opens_ns = int(times[HALT + 1])
    settings = account(falling, "weekend", times=times[: HALT + 1], market="XNYS")
    done = Listening(settings).run()
    assert halted_at(settings) == HALT
    assert all(quantity > 0.0 for quantity in done.held.values())
    snapshot = done.agent.bus.snapshot()
    assert snapshot.halt is not None
    # Nothing is late before Monday's first bar is.
    assert snapshot.due_ns is not None
    assert snapshot.due_ns > time.time_ns() + 65 * 3_600 * 10**9
    assert done.agent.open_orders is not None
    for state in done.agent.open_orders:
        assert state.status is OrderStatus.NEW
        assert state.order.valid_until_ns == opens_ns + BAR_NS

    write_bars(falling.folder / "weekend-bars", times=times)
    sent: list[Order] = []
    done = Listening(settings).use(lambda it: Noting(it, sent)).run()
    assert sent == []  # those of before still stand
    assert done.held == FLAT
    check_closing(settings, times, SYMBOLS)
    check_replay(settings, falling)


def test_halt_while_one_market_is_closed_closes_it_at_its_opening_and_the_others_at_once(
    falling: Desk,
) -> None:
    friday, monday = session_times("2020-09-18 13:30", 14)[[0, 13]]
    whole = friday + np.arange(COUNT, dtype=np.int64) * BAR_NS
    settings = account(
        falling,
        "two-markets",
        times=whole,
        guard__max_jump=5.0,  # over the week-end
        allocations=[
            {"symbol": item, "policy": "long", "cash": 2e4, "market": market}
            for item, market in zip(SYMBOLS, ("XNYS", "always-open", "always-open"), strict=True)
        ],
    )
    market = market_named("XNYS")
    path = falling.folder / "two-markets-bars" / f"{SYMBOLS[0]}.parquet"
    table = pq.read_table(path)
    pq.write_table(table.filter(pa.array([market.is_open(int(it)) for it in whole])), path)
    done = Listening(settings).run()
    assert done.held == FLAT
    log = DecisionLog(settings.log.folder)
    fills = {item["symbol"]: item for item in log.flat("fills").to_pylist() if item["quantity"] < 0}
    halt = halted_at(settings)
    assert whole[halt] + BAR_NS < monday
    for name in SYMBOLS[1:]:
        assert whole[halt + 1] <= fills[name]["filled_ns"].value < whole[halt + 1] + BAR_NS
    assert monday <= fills[SYMBOLS[0]]["filled_ns"].value < monday + BAR_NS
    sent = [
        (item["symbol"], item["sent"])
        for item in log.flat("orders").to_pylist()
        if item["reason"] == "FLATTEN"
    ]
    assert sent == [(name, True) for name in SYMBOLS]  # one each, and none of them again
    check_replay(settings, falling)


class Refusing:
    """A broker that rejects the first orders that close a position, or is gone at them."""

    def __init__(self, inner: Broker, times: int, gone: bool) -> None:
        self._inner = inner
        self._left = times
        self._gone = gone

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def submit(self, orders: Sequence[Order]) -> Sequence[OrderState]:
        if self._left and any(order.quantity < 0.0 for order in orders):
            self._left -= 1
            if self._gone:
                await asyncio.Event().wait()
            return [OrderState(order, OrderStatus.REJECTED, reason="no") for order in orders]
        return await self._inner.submit(orders)


@pytest.mark.parametrize(("gone", "why"), [(False, "ORDER_REJECTED"), (True, "BROKER_UNAVAILABLE")])
def test_broker_that_refuses_to_close_is_asked_until_it_does_and_that_is_said(
    falling: Desk, gone: bool, why: str
) -> None:
    settings = account(falling, f"refused-{gone}", safety__broker_timeout_s=0.3)
    done = Listening(settings).use(lambda it: Refusing(it, 4, gone)).run()
    assert done.held == FLAT
    _, first, still, flat = done.said
    assert f"could not be closed at this tick ({why}" in first
    assert "still holds BTC" in still
    assert why in still
    assert "holds nothing any more" in flat


class Crash(BaseException):
    """The end of a process."""


class Dying:
    """A broker beside which the process dies before an order of one side is sent."""

    def __init__(self, inner: Broker, sign: float) -> None:
        self._inner = inner
        self._sign = sign

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def submit(self, orders: Sequence[Order]) -> Sequence[OrderState]:
        if any(order.quantity * self._sign > 0.0 for order in orders):
            raise Crash
        return await self._inner.submit(orders)


class Noting:
    """A broker that notes what it is sent."""

    def __init__(self, inner: Broker, sent: list[Order]) -> None:
        self._inner = inner
        self.sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def submit(self, orders: Sequence[Order]) -> Sequence[OrderState]:
        self.sent += orders
        return await self._inner.submit(orders)


def test_account_halted_while_it_was_down_sends_none_of_the_orders_of_before_the_crash(
    falling: Desk,
) -> None:
    settings = account(falling, "down")
    with pytest.raises(Crash):
        Listening(settings).use(lambda it: Dying(it, 1.0)).run()
    lost = RiskInputs(portfolio_values=np.array([100.0, 50.0]))
    with RiskClient(falling.risk.address, timeout_s=20.0) as risk:
        assert risk.evaluate(lost, account="down").halt is not None

    sent: list[Order] = []
    done = Listening(settings).use(lambda it: Noting(it, sent)).run()
    assert sent == []
    assert "HALTED while it was down, by rule ruin" in done.said[1]
    log = DecisionLog(settings.log.folder)
    orders = log.flat("orders").to_pylist()
    assert [(item["sent"], item["reason"]) for item in orders] == [(False, "RISK_LIQUIDATE")] * 3
    assert done.held == FLAT
    check_replay(settings, falling)


def test_orders_that_close_and_were_not_sent_before_a_crash_are_sent_at_the_start(
    falling: Desk,
) -> None:
    settings = account(falling, "closing")
    with pytest.raises(Crash):
        Listening(settings).use(lambda it: Dying(it, -1.0)).run()
    sent: list[Order] = []
    done = Listening(settings).use(lambda it: Noting(it, sent)).run()
    assert [order.symbol for order in sent] == list(SYMBOLS)
    assert done.held == FLAT
    check_replay(settings, falling)


@pytest.mark.slow
def test_closing_survives_kill_9_midway_with_books_that_agree_and_nothing_sold_twice(
    falling: Desk,
) -> None:
    # So thin a market that it takes tens of bars to get out.
    settings = account(
        falling,
        "killed",
        volume=100.0,
        broker={"market": {"level_share": 0.01, "levels": 10}},
        feed__speed=BAR_NS / 1e9 * 40.0,
        guard__max_lateness_s=1e9,
    )
    config = falling.folder / "killed.yaml"
    config.write_text(settings.model_dump_json())  # JSON is YAML
    command = [sys.executable, "-m", "orchestrator", "--config", str(config)]
    journal = settings.folder / "killed.journal"
    for lines in (QUIET + 8, QUIET + 14, QUIET + 20):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 120.0
            while not journal.exists() or journal.read_bytes().count(b"\n") < lines:
                assert process.poll() is None, "the orchestrator ended too early"
                assert time.monotonic() < deadline, "the replay does not go on"
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "it holds nothing; no order is open; it is halted by rule drawdown_halt" in ended.stdout
    log = DecisionLog(settings.log.folder)
    check_books(log)
    quantities = [item["quantity"] for item in log.flat("positions").to_pylist()]
    assert min(quantities) >= -1e-9
    closing = [item for item in log.flat("orders").to_pylist() if item["reason"] == "FLATTEN"]
    assert len(closing) > 3 * len(SYMBOLS)
    check_replay(settings, falling)
