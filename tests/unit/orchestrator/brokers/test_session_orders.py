"""Orders of a session's last close: filled at the open of the market's next bar, or not at all."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.brokers import (
    Order,
    OrderStatus,
    PaperBroker,
    PaperBrokerSettings,
    PaperMarketSettings,
)
from orchestrator.decision_log import BarRecord
from orchestrator.mandate import Mandate
from orchestrator.markets import Markets
from tradewind.market.markets import market_named

HALF_HOUR, HOUR, DAY = 1_800 * 10**9, 3_600 * 10**9, 86_400 * 10**9
SYMBOLS = ("ACME", "BOLT")


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def bar(symbol: str, text: str, interval_ns: int, price: float) -> BarRecord:
    start_ns = ns(text)
    close = price + 5.0  # the open is what a fill is told by
    return BarRecord(symbol, start_ns, price, close, price, close, 1e6, start_ns + interval_ns, ())


class Session:
    """A broker that has seen the last bar of a session, and an order decided at its close."""

    def __init__(self, path: Path, last: str, interval_ns: int, market: str | None) -> None:
        self._path = path / "books"
        known = None if market is None else market_named(market)
        self.markets = Markets(dict.fromkeys(SYMBOLS, known), interval_ns)
        self._interval_ns = interval_ns
        self.open()
        close_ns = ns(last) + interval_ns
        self.order = Order(
            "a-0-ACME", "ACME", 10.0, 100.0, close_ns, self.markets.next_close_ns("ACME", close_ns)
        )
        self.show(last)
        asyncio.run(self.broker.submit([self.order]))

    def open(self) -> None:
        market = PaperMarketSettings(latency_ms=50.0, half_spread=0.0)
        folder, name = self._path.parent, self._path.name
        mandate = Mandate(SYMBOLS, self._interval_ns, name, 1e5, folder, self.markets)
        self.broker = PaperBroker(mandate, PaperBrokerSettings(market=market))

    def show(self, text: str, symbols: Sequence[str] = SYMBOLS, price: float = 100.0) -> None:
        bars = [bar(symbol, text, self._interval_ns, price) for symbol in symbols]
        asyncio.run(self.broker.observe(bars))

    @property
    def fills(self) -> list[tuple[int, float]]:
        return [(fill.filled_ns, fill.price) for fill in asyncio.run(self.broker.fills(0))]

    @property
    def status(self) -> OrderStatus:
        state = asyncio.run(self.broker.order(self.order.client_order_id))
        assert state is not None
        return state.status


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize(
    ("market", "interval_ns", "last", "following"),
    [
        ("XNYS", HALF_HOUR, "2019-11-26 20:30", "2019-11-27 14:30"),
        ("XNYS", HALF_HOUR, "2019-11-22 20:30", "2019-11-25 14:30"),
        ("XNYS", HALF_HOUR, "2019-11-27 20:30", "2019-11-29 14:30"),  # Thanksgiving
        ("XNYS", HALF_HOUR, "2019-11-29 17:30", "2019-12-02 14:30"),  # a half day
        ("XNYS", HALF_HOUR, "2019-03-08 20:30", "2019-03-11 13:30"),  # summer time begins
        ("XNYS", HOUR, "2019-11-26 20:30", "2019-11-27 14:30"),  # half a bar outlasts the session
        ("XNYS", DAY, "2019-11-22 00:00", "2019-11-25 00:00"),  # a Friday
        ("XNYS", DAY, "2019-08-30 00:00", "2019-09-03 00:00"),  # Labor Day
        ("fx-week", HOUR, "2019-08-23 20:00", "2019-08-25 21:00"),
        ("always-open", HALF_HOUR, "2019-11-26 23:30", "2019-11-27 00:00"),
    ],
)
def test_order_of_a_last_close_fills_at_the_open_of_the_next_bar(
    tmp_path: Path, market: str, interval_ns: int, last: str, following: str,
    is_known: bool, restart: bool,
) -> None:  # fmt: skip
    desk = Session(tmp_path, last, interval_ns, market if is_known else None)
    if restart:
        asyncio.run(desk.broker.close())
        desk.open()
        desk.show(last)  # as the start after a crash does
    assert desk.fills == []
    desk.show(following, price=110.0)
    ((filled_ns, price),) = desk.fills
    assert desk.status is OrderStatus.FILLED
    if ns(following) > ns(last) + interval_ns:
        assert (filled_ns, price) == (ns(following), 110.0)
    else:  # where the market did not close, the order takes its way to it
        assert 0 < filled_ns - ns(following) < interval_ns


def test_order_beyond_the_end_of_a_calendar_waits_for_the_next_bar(tmp_path: Path) -> None:
    # A release of exchange-calendars knows some exchanges to the end of its year alone.
    desk = Session(tmp_path, "2049-12-31 20:30", HALF_HOUR, "XNYS")
    desk.show("2050-01-03 14:30", price=110.0)
    assert desk.fills == [(ns("2050-01-03 14:30"), 110.0)]


@pytest.mark.parametrize(
    ("market", "late"),
    [
        ("XNYS", "2019-11-27 15:00"),
        ("XNYS", "2019-11-29 14:30"),
        ("always-open", "2019-11-26 21:30"),
    ],
)
def test_order_whose_next_bar_is_missing_while_the_market_is_open_expires(
    tmp_path: Path, market: str, late: str
) -> None:
    desk = Session(tmp_path, "2019-11-26 20:30", HALF_HOUR, market)
    desk.show(late)
    assert (desk.fills, desk.status) == ([], OrderStatus.CANCELLED)


@pytest.mark.parametrize("market", ["XNYS", None])
def test_order_of_a_symbol_that_halts_while_the_other_trades_expires(
    tmp_path: Path, market: str | None
) -> None:
    desk = Session(tmp_path, "2019-11-26 20:30", HALF_HOUR, market)
    desk.show("2019-11-27 14:30", ["BOLT"])
    assert desk.status is OrderStatus.CANCELLED
    desk.show("2019-11-27 15:00")
    assert desk.fills == []


def test_order_of_an_unknown_market_that_is_valid_for_bars_waits_out_a_night_only_once(
    tmp_path: Path,
) -> None:
    desk = Session(tmp_path, "2019-11-26 20:30", HALF_HOUR, None)
    close_ns = ns("2019-11-26 21:00")
    longer = Order("a-1-BOLT", "BOLT", 1.0, 100.0, close_ns, close_ns + 2 * HALF_HOUR)
    asyncio.run(desk.broker.submit([longer]))
    desk.show("2019-11-27 14:30", ["ACME"])
    desk.show("2019-11-27 15:00", ["ACME"])
    assert asyncio.run(desk.broker.open_orders()) == ()
