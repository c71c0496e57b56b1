"""The paper broker: what an order costs, how far it is filled, and what survives a crash."""

import asyncio
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.brokers import (
    Order,
    OrderState,
    OrderStatus,
    PaperBroker,
    PaperBrokerSettings,
    PaperMarketSettings,
)
from orchestrator.brokers.market import active_ns, trade_in_bar
from orchestrator.decision_log import BarRecord, FillRecord
from orchestrator.mandate import Mandate
from orchestrator.markets import Markets
from tradewind.errors import ConflictError, InvalidInputError, NotFoundError
from tradewind.market.markets import ALWAYS_OPEN

STEP = 60_000_000_000
START = 1_600_000_020_000_000_000
CASH = 10_000.0

# Every level holds 10 units of a bar of 1,000; no cost but what a test asks for.
PLAIN = PaperMarketSettings(
    latency_ms=0.0, fee=0.0, half_spread=0.0, levels=2, level_spacing=0.0, level_variation=0.0
)


def bar(index: int, symbol: str = "BTC", price: float = 100.0, **changes: float) -> BarRecord:
    start_ns = START + index * STEP
    values = {"open": price, "high": 2 * price, "low": price / 2, "close": price, "volume": 1e3}
    return BarRecord(symbol, start_ns, **{**values, **changes}, arrived_ns=start_ns + STEP)  # type: ignore[arg-type]


def order(name: str, quantity: float, index: int = 0, **changes: Any) -> Order:
    """An order at the close of a bar, valid until the close of the next one."""
    close_ns = START + (index + 1) * STEP
    values: dict[str, Any] = {
        "client_order_id": name,
        "symbol": "BTC",
        "quantity": quantity,
        "reference_price": 100.0,
        "submitted_ns": close_ns,
        "valid_until_ns": close_ns + STEP,
    }
    return Order(**{**values, **changes})


class Desk:
    """A broker, each call to the end; `restart` opens its books anew, as after a crash."""

    def __init__(self, path: Path, market: PaperMarketSettings, max_leverage: float) -> None:
        self._path, self._market, self._max_leverage = path, market, max_leverage
        self.broker = self._open()

    def _open(self) -> PaperBroker:
        mandate = Mandate(
            ("BTC", "ETH"),
            STEP,
            self._path.stem,
            CASH,
            self._path.parent,
            Markets(dict.fromkeys(("BTC", "ETH"), ALWAYS_OPEN), STEP),
        )
        options = PaperBrokerSettings(market=self._market, max_leverage=self._max_leverage)
        return PaperBroker(mandate, options)

    def observe(self, *bars: BarRecord) -> None:
        asyncio.run(self.broker.observe(bars))

    def submit(self, *orders: Order) -> Sequence[OrderState]:
        return asyncio.run(self.broker.submit(orders))

    def cancel(self, name: str) -> OrderState:
        return asyncio.run(self.broker.cancel(name))

    def state(self, name: str) -> OrderState:
        state = asyncio.run(self.broker.order(name))
        assert state is not None
        return state

    @property
    def fills(self) -> Sequence[FillRecord]:
        return asyncio.run(self.broker.fills(0))

    @property
    def books(self) -> tuple[object, ...]:
        holdings = asyncio.run(self.broker.holdings())
        return holdings, tuple(asyncio.run(self.broker.open_orders())), tuple(self.fills)

    def close(self) -> None:
        asyncio.run(self.broker.close())

    def restart(self) -> None:
        self.close()
        self.broker = self._open()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """`desk(fee=0.01)` is a broker whose market differs from `PLAIN` in its fee."""
    opened: list[Desk] = []

    def make(*, max_leverage: float = 2.0, **market: float) -> Desk:
        settings = PaperMarketSettings(**{**PLAIN.model_dump(), **market})
        path = tmp_path / f"{len(opened)}.broker"
        opened.append(Desk(path, settings, max_leverage))
        opened[-1].observe(bar(0), bar(0, "ETH"))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


MakeDesk = Callable[..., Desk]


def test_order_with_more_than_the_book_holds_is_filled_in_parts_until_it_ends(
    desk: MakeDesk,
) -> None:
    one = desk()
    one.submit(order("a", 50.0, valid_until_ns=START + 3 * STEP))
    one.observe(bar(1))
    assert one.state("a").status is OrderStatus.PARTIALLY_FILLED
    one.observe(bar(2))  # and with this bar its time is over
    assert one.state("a") == OrderState(
        one.state("a").order, OrderStatus.CANCELLED, 40.0, "no longer valid"
    )
    assert [fill.quantity for fill in one.fills] == [20.0, 20.0]
    one.submit(order("b", -40.0, 2, valid_until_ns=START + 9 * STEP))
    one.observe(bar(3))
    one.observe(bar(4, volume=0.0))
    assert one.state("b").status is OrderStatus.PARTIALLY_FILLED
    one.observe(bar(5))
    assert one.state("b").status is OrderStatus.FILLED
    assert [fill.sequence for fill in one.fills] == [1, 2, 3, 4]
    holdings = asyncio.run(one.broker.holdings())
    assert (holdings.cash, holdings.positions) == (CASH, {})


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_order_pays_spread_impact_of_each_level_and_fee(desk: MakeDesk, side: float) -> None:
    one = desk(half_spread=0.01, level_spacing=0.02, fee=0.005)
    one.submit(order("a", side * 15.0))
    one.observe(bar(1))
    (fill,) = one.fills
    paid = (10.0 * 100.0 * (1.0 + side * 0.01) + 5.0 * 100.0 * (1.0 + side * 0.03)) / 15.0
    assert fill.price == pytest.approx(paid, rel=1e-12)
    assert fill.reference_price == 100.0
    assert fill.fee == pytest.approx(0.005 * 15.0 * paid, rel=1e-12)
    held = asyncio.run(one.broker.holdings())
    assert held.positions == {"BTC": side * 15.0}
    assert held.cash == pytest.approx(CASH - side * 15.0 * paid - fill.fee, rel=1e-12)


@given(quantity=st.floats(1e-6, 10.0), price=st.floats(1e-3, 1e5), half_spread=st.floats(0.0, 0.1))
def test_order_within_one_level_pays_the_price_of_that_level_to_the_last_bit(
    quantity: float, price: float, half_spread: float
) -> None:
    market = PaperMarketSettings(**{**PLAIN.model_dump(), "half_spread": half_spread})
    for side in (1.0, -1.0):
        wanted = order("a", side * quantity)
        trade = trade_in_bar(wanted, wanted.quantity, 0, bar(1, price=price), STEP, market)
        assert trade is not None
        assert (trade.quantity, trade.price) == (
            wanted.quantity,
            price * (1.0 + side * half_spread),
        )


def test_order_meets_the_mid_of_the_time_when_it_is_in_the_market(desk: MakeDesk) -> None:
    one = desk(latency_ms=20_000.0)
    orders = [order(f"a{number}", 0.1) for number in range(8)]
    one.submit(*orders)
    one.observe(bar(1, close=160.0))
    times = {item.client_order_id: active_ns(item, one.broker._settings) for item in orders}
    within = {name: at for name, at in times.items() if at < START + 2 * STEP}
    assert {fill.client_order_id for fill in one.fills} == set(within)
    for fill in one.fills:
        waited = within[fill.client_order_id] - (START + STEP)
        assert fill.filled_ns - (START + STEP) == waited > 0
        assert fill.price == pytest.approx(100.0 + 60.0 * waited / STEP)
    assert len(set(within.values())) == len(within) > 1


def test_order_with_no_bar_while_it_was_valid_is_not_filled_by_a_later_one(desk: MakeDesk) -> None:
    one = desk()
    one.submit(order("a", 1.0))
    one.observe(bar(2))
    assert one.state("a").status is OrderStatus.CANCELLED
    assert one.fills == []


def test_order_sent_twice_is_one_order_and_another_under_its_id_is_refused(desk: MakeDesk) -> None:
    one = desk()
    first = one.submit(order("a", 1.0), order("a", 1.0))
    assert first[0] == first[1] == one.submit(order("a", 1.0))[0]
    one.observe(bar(1))
    assert one.submit(order("a", 1.0))[0].status is OrderStatus.FILLED
    assert [fill.quantity for fill in one.fills] == [1.0]
    with pytest.raises(ConflictError, match="order a is known"):
        one.submit(order("c", 1.0, 1), order("a", 2.0))
    with pytest.raises(ConflictError, match="order b is known"):
        one.submit(order("b", 1.0, 1), order("b", 2.0, 1))
    assert asyncio.run(one.broker.open_orders()) == ()  # of a refused batch nothing is taken


def test_order_that_is_cancelled_keeps_what_was_filled_and_a_final_one_stays(
    desk: MakeDesk,
) -> None:
    one = desk()
    one.submit(order("a", 50.0), order("b", 1.0, symbol="ETH"))
    one.observe(bar(1, volume=100.0), bar(1, "ETH"))
    cancelled, filled = one.cancel("a"), one.cancel("b")
    assert (cancelled.status, cancelled.filled_quantity) == (OrderStatus.CANCELLED, 2.0)
    assert (filled.status, filled.filled_quantity) == (OrderStatus.FILLED, 1.0)
    one.restart()
    one.observe(bar(2))
    assert one.cancel("a") == one.state("a") == cancelled
    with pytest.raises(NotFoundError, match="order z is not known"):
        one.cancel("z")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"symbol": "DOGE"}, "'DOGE' is not traded here"),
        ({"quantity": 0.0}, "must not be 0"),
        ({"valid_until_ns": START + STEP}, "no longer valid"),
        ({"quantity": 201.0}, "beyond 2 × equity"),
        ({"quantity": -201.0}, "beyond 2 × equity"),
    ],
)
def test_order_that_cannot_be_traded_is_rejected_with_the_reason(
    desk: MakeDesk, changes: dict[str, Any], reason: str
) -> None:
    one = desk()
    (state,) = one.submit(dataclasses.replace(order("a", 1.0), **changes))
    assert state.status is OrderStatus.REJECTED
    assert reason in state.reason
    one.observe(bar(1))
    assert one.fills == []


def test_account_beyond_its_leverage_may_only_reduce_also_after_a_restart(desk: MakeDesk) -> None:
    one = desk(level_share=1.0)
    one.submit(order("a", 180.0, symbol="ETH"))
    one.observe(bar(1), bar(1, "ETH"))
    one.restart()  # nothing but the books says what ETH is worth
    later = START + 9 * STEP
    more, less = one.submit(
        order("b", 3.0, 1, reference_price=1_000.0, valid_until_ns=later),
        order("c", -30.0, 1, symbol="ETH", valid_until_ns=later),
    )
    assert "gross notional of 21,000.00 is beyond 2 × equity" in more.reason
    assert less.status is OrderStatus.NEW
    fits, flips = one.submit(
        order("d", 3.0, 1, reference_price=1.0, valid_until_ns=later),
        order("e", -351.0, 1, symbol="ETH", valid_until_ns=later),
    )
    assert fits.status is OrderStatus.NEW
    # 201 ETH short after the sale of 30, and 3 BTC at the price of their order.
    assert "gross notional of 20,103.00 is beyond 2 × equity" in flips.reason


def test_orders_that_make_room_for_others_do_so_before_they_are_filled(desk: MakeDesk) -> None:
    one = desk(level_share=1.0)
    one.submit(order("a", 150.0))
    one.observe(bar(1), bar(1, "ETH"))
    later = START + 9 * STEP
    (beyond,) = one.submit(order("b", 150.0, 1, symbol="ETH", valid_until_ns=later))
    assert beyond.status is OrderStatus.REJECTED
    sale, bought, more = one.submit(
        order("c", -150.0, 1, valid_until_ns=later),
        order("d", 150.0, 1, symbol="ETH", valid_until_ns=later),
        order("e", 60.0, 1, symbol="ETH", valid_until_ns=later),
    )
    assert (sale.status, bought.status) == (OrderStatus.NEW, OrderStatus.NEW)
    assert "gross notional of 21,000.00 is beyond 2 × equity" in more.reason
    one.restart()
    (again,) = one.submit(order("f", 60.0, 1, symbol="ETH", valid_until_ns=later))
    assert again.reason == more.reason
    one.observe(bar(2), bar(2, "ETH"))
    assert asyncio.run(one.broker.holdings()).positions == {"ETH": 150.0}


@pytest.mark.parametrize("changes", [{"quantity": math.nan}, {"reference_price": math.inf}])
def test_order_without_a_number_cannot_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="must be finite"):
        dataclasses.replace(order("a", 1.0), **changes)


def test_account_with_a_crash_after_every_tick_has_the_books_of_one_without(
    desk: MakeDesk,
) -> None:
    frictions = {"latency_ms": 30_000.0, "fee": 0.001, "level_variation": 0.5, "half_spread": 1e-3}
    whole, crashed = desk(**frictions), desk(**frictions)
    for index in range(1, 30):
        for one in (whole, crashed):
            bars = [bar(index, symbol, 100.0 + index % 7) for symbol in ("BTC", "ETH")]
            one.observe(*bars)
            quantity = 30.0 * math.sin(index)
            one.submit(order(f"{index}", quantity, index, valid_until_ns=START + 99 * STEP))
        crashed.restart()
        crashed.observe(bar(index - 1), *bars)  # a replay shows again what was traded on
    assert whole.fills
    assert crashed.books == whole.books


@pytest.mark.parametrize("volume", [0.0, 1e-3, 1e9])
def test_order_in_a_market_without_end_is_filled_whole_at_its_best_level(volume: float) -> None:
    settings = PLAIN.model_copy(update={"level_share": None, "half_spread": 0.01, "levels": 9})
    asked = order("a", -1e6)
    trade = trade_in_bar(asked, -1e6, asked.submitted_ns, bar(1, volume=volume), STEP, settings)
    assert trade is not None
    assert (trade.quantity, trade.price) == (-1e6, 100.0 * (1.0 - 0.01))


@given(
    quantity=st.floats(0.01, 1e3),
    sides=st.sampled_from([1.0, -1.0]),
    volumes=st.lists(st.floats(0.0, 1e4), min_size=1, max_size=8),
    seed=st.integers(0, 2**32),
)
def test_parts_of_an_order_never_exceed_it_and_cost_no_less_than_the_spread(
    quantity: float, sides: float, volumes: list[float], seed: int
) -> None:
    settings = PaperMarketSettings(seed=seed, latency_ms=0.0)
    asked = order("a", sides * quantity, valid_until_ns=START + 99 * STEP)
    left = asked.quantity
    for index, volume in enumerate(volumes, 1):
        trade = trade_in_bar(
            asked, left, asked.submitted_ns, bar(index, volume=volume), STEP, settings
        )
        if trade is None:
            assert volume < 1e-300
            continue
        assert 0.0 < trade.quantity * sides <= abs(left)
        assert sides * (trade.price / trade.reference_price - 1.0) >= settings.half_spread * 0.999
        left -= trade.quantity
        if left == 0.0:
            break
    assert left * sides >= 0.0
