"""Limits, stops and orders that do not wait, on paper and in what is kept of them."""

import asyncio
import json
import sqlite3
import zlib
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.account.journal import Journal, JournalEntry
from orchestrator.brokers import (
    Order,
    OrderKind,
    OrderSettings,
    OrderState,
    OrderStatus,
    PaperMarketSettings,
    TimeInForce,
    read_terms,
)
from orchestrator.brokers.books import Books
from orchestrator.brokers.market import trade_in_bar
from orchestrator.decision_log import TICK_SCHEMA, DecisionLog
from orchestrator.decision_log.schema import to_batch
from orchestrator.records import OrderRecord
from tests.unit.orchestrator.brokers.test_paper_broker import (
    PLAIN,
    START,
    STEP,
    MakeDesk,
    bar,
    desk,
    order,
)
from tests.unit.orchestrator.conftest import make_tick
from tradewind.errors import InvalidInputError, SettingsError

__all__ = ["desk"]

LIMIT: dict[str, Any] = {"kind": OrderKind.LIMIT, "limit_price": 101.0}
STOP: dict[str, Any] = {"kind": OrderKind.STOP, "stop_price": 110.0}
LATER = START + 9 * STEP


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": OrderKind.LIMIT}, "limit_price goes with LIMIT and STOP_LIMIT alone"),
        ({"limit_price": 5.0}, "limit_price goes with LIMIT and STOP_LIMIT alone"),
        ({"stop_price": 5.0}, "stop_price goes with STOP and STOP_LIMIT alone"),
        ({**LIMIT, "stop_price": 5.0}, "stop_price goes with STOP"),
        ({"kind": OrderKind.STOP_LIMIT, "stop_price": 5.0}, "limit_price goes with"),
        ({**LIMIT, "limit_price": 0.0}, "limit_price must be a finite price above 0"),
        ({**STOP, "stop_price": float("nan")}, "stop_price must be a finite price above 0"),
    ],
)
def test_order_with_prices_of_another_kind_cannot_be_made(changes: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        order("a", 1.0, **changes)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_limit_takes_the_levels_within_it_and_leaves_the_rest_to_wait(
    desk: MakeDesk, side: float
) -> None:
    one = desk(level_spacing=0.02)  # 10 units at 100, 10 at 102 or 98
    near, far = 100.0 + side, 100.0 + side * 2.0
    one.submit(
        order("near", side * 15.0, valid_until_ns=LATER, kind=OrderKind.LIMIT, limit_price=near),
        order("far", side * 15.0, valid_until_ns=LATER, kind=OrderKind.LIMIT, limit_price=far),
    )
    one.observe(bar(1))
    assert [(it.client_order_id, it.quantity) for it in one.fills] == [
        ("near", side * 10.0),
        ("far", side * 15.0),
    ]
    assert one.fills[0].price == 100.0
    assert one.state("near").status is OrderStatus.PARTIALLY_FILLED
    one.observe(bar(2, price=200.0 if side > 0.0 else 50.0))  # nobody sells at 101 here
    one.restart()
    one.observe(bar(3, price=100.0))
    assert one.state("near").status is OrderStatus.FILLED
    assert one.state("near").order.limit_price == near


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_limit_that_the_market_comes_to_is_filled_at_it_and_then(
    desk: MakeDesk, side: float
) -> None:
    one = desk(half_spread=0.001)
    limit = 100.0 - side * 10.0
    one.submit(order("a", side, valid_until_ns=LATER, kind=OrderKind.LIMIT, limit_price=limit))
    one.observe(bar(1, close=100.0 - side * 5.0))
    assert one.fills == []
    one.observe(bar(2, open=100.0 - side * 5.0, close=100.0 - side * 15.0))
    (fill,) = one.fills
    assert side * (limit - fill.price) >= 0.0
    assert fill.price == pytest.approx(limit, rel=1e-12)
    into = (fill.filled_ns - START - 2 * STEP) / STEP
    assert into == pytest.approx(0.5, abs=0.02)  # on the line from open to close


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_stop_waits_for_its_price_and_is_then_at_market(desk: MakeDesk, side: float) -> None:
    one = desk(half_spread=0.01)
    stop = 100.0 + side * 10.0
    one.submit(order("a", side * 25.0, valid_until_ns=LATER, kind=OrderKind.STOP, stop_price=stop))
    one.observe(bar(1, close=100.0 + side * 9.0))
    assert one.fills == []
    one.observe(bar(2, open=100.0, close=100.0 + side * 20.0))
    (fill,) = one.fills
    assert fill.reference_price == pytest.approx(stop)
    assert fill.price == pytest.approx(stop * (1.0 + side * 0.01))
    assert fill.filled_ns == pytest.approx(START + 2.5 * STEP, abs=STEP * 0.001)
    one.observe(bar(3, price=100.0))  # what is left works on, wherever the market goes
    assert [item.quantity for item in one.fills] == [side * 20.0, side * 5.0]


def test_orders_that_do_not_wait_take_what_there_is_or_nothing(desk: MakeDesk) -> None:
    one = desk()  # 20 units a bar
    waits: dict[str, Any] = {"valid_until_ns": LATER}
    one.submit(
        order("ioc", 30.0, time_in_force=TimeInForce.IOC, **waits),
        order("fok", 20.0, time_in_force=TimeInForce.FOK, **waits),
        order("fok-too-much", 20.5, time_in_force=TimeInForce.FOK, **waits),
        order("ioc-limit", -1.0, time_in_force=TimeInForce.IOC, **waits, **LIMIT),
        order("stop", 1.0, time_in_force=TimeInForce.IOC, **waits, **STOP),
        order("both", 1.0, **waits, kind=OrderKind.STOP_LIMIT, limit_price=9.0, stop_price=9.0),
    )
    assert "a STOP waits for its price, and IOC does not wait" in one.state("stop").reason
    assert "STOP_LIMIT is not taken here, MARKET, LIMIT, STOP are" in one.state("both").reason
    one.observe(bar(1, "ETH"))  # no moment of theirs
    assert len(asyncio.run(one.broker.open_orders())) == 4
    one.observe(bar(2, price=100.0, close=200.0))
    assert [(it.client_order_id, it.quantity) for it in one.fills] == [("ioc", 20.0), ("fok", 20.0)]
    assert asyncio.run(one.broker.open_orders()) == ()
    assert one.state("ioc").status is OrderStatus.CANCELLED
    assert one.state("ioc").filled_quantity == 20.0


@given(
    quantity=st.floats(0.01, 100.0),
    side=st.sampled_from([1.0, -1.0]),
    open_price=st.floats(1.0, 200.0),
    close=st.floats(1.0, 200.0),
    price=st.floats(1.0, 200.0),
    half_spread=st.floats(0.0, 0.05),
    spacing=st.floats(0.0, 0.05),
    kind=st.sampled_from([OrderKind.LIMIT, OrderKind.STOP]),
)
def test_limit_and_stop_never_break_their_word(
    quantity: float, side: float, open_price: float, close: float, price: float,
    half_spread: float, spacing: float, kind: OrderKind,
) -> None:  # fmt: skip
    market = PaperMarketSettings(latency_ms=0.0, half_spread=half_spread, level_spacing=spacing)
    name = "limit_price" if kind is OrderKind.LIMIT else "stop_price"
    prices: dict[str, Any] = {name: price}
    asked = order("a", side * quantity, kind=kind, valid_until_ns=LATER, **prices)
    here = bar(1, open=open_price, close=close)
    trade = trade_in_bar(asked, asked.quantity, asked.submitted_ns, here, STEP, market)
    if trade is None:
        return
    assert here.start_ns <= trade.filled_ns < here.start_ns + STEP
    assert 0.0 < side * trade.quantity <= quantity
    assert trade.fee >= 0.0
    if kind is OrderKind.LIMIT:
        assert side * (price - trade.price) >= 0.0
    else:
        assert side * (trade.reference_price - price) >= -1e-9 * price


def test_settings_make_orders_as_they_say_and_what_is_for_safety_at_market() -> None:
    style = OrderSettings(kind=OrderKind.LIMIT, limit_distance=0.01, time_in_force=TimeInForce.IOC)
    buy = style.order("a", "BTC", 2.0, 100.0, 1, 2)
    assert (buy.kind, buy.limit_price, buy.time_in_force) == ("LIMIT", 101.0, "IOC")
    assert style.order("a", "BTC", -2.0, 100.0, 1, 2).limit_price == 99.0
    assert style.order("a", "BTC", -2.0, 100.0, 1, 2, for_safety=True) == Order(
        "a", "BTC", -2.0, 100.0, 1, 2
    )
    assert OrderSettings().order("a", "BTC", 2.0, 100.0, 1, 2) == Order(
        "a", "BTC", 2.0, 100.0, 1, 2
    )


def test_fills_are_streamed_as_they_come(desk: MakeDesk) -> None:
    one = desk()

    async def run() -> list[str]:
        stream = aiter(one.broker.stream_fills())
        await one.broker.submit([order("a", 1.0), order("b", 1.0, symbol="ETH")])
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        assert not waiting.done()
        await one.broker.observe([bar(1), bar(1, "ETH")])
        found = [await waiting, await anext(stream)]
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        return [item.client_order_id for item in found]

    assert asyncio.run(run()) == ["a", "b"]


def test_books_of_an_earlier_release_open_with_orders_at_market(tmp_path: Path) -> None:
    path = tmp_path / "old.broker"
    with sqlite3.connect(path) as old:
        old.executescript(
            "CREATE TABLE orders (client_order_id TEXT PRIMARY KEY, symbol TEXT NOT NULL,"
            "quantity REAL NOT NULL, reference_price REAL NOT NULL, submitted_ns INTEGER NOT NULL,"
            "valid_until_ns INTEGER NOT NULL, status TEXT NOT NULL, filled_quantity REAL NOT NULL,"
            "reason TEXT NOT NULL) STRICT;"
            "INSERT INTO orders VALUES ('a', 'BTC', 2.0, 100.0, 1, 2, 'NEW', 0.0, '');"
        )
    old.close()
    plain = Order("a", "BTC", 2.0, 100.0, 1, 2)
    limited = replace(plain, client_order_id="b", kind=OrderKind.LIMIT, limit_price=101.5)
    for _ in range(2):
        books = Books(path, 5.0)
        books.record(3, 5.0, [OrderState(limited, OrderStatus.PARTIALLY_FILLED, 1.0)])
        assert [it.order for it in books.open_orders()] == [plain, limited]
        books.close()


def test_journal_keeps_kinds_of_orders_and_reads_lines_without_them(tmp_path: Path) -> None:
    plain = Order("a", "BTC", 2.0, 100.0, 1, 2)
    limited = Order("b", "BTC", 2.0, 100.0, 1, 2, OrderKind.LIMIT, 101.5, None, TimeInForce.IOC)
    path = tmp_path / "journal"
    body = json.dumps([0, 9, [], [], [[list(astuple(plain))[:6], "POLICY"]], 0]).encode()
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(body), body))
    journal = Journal(path)
    assert journal.entries[0].orders == ((plain, "POLICY"),)
    journal.append(JournalEntry(1, 9, (), (), ((limited, "POLICY"),)))
    journal.close()
    again = Journal(path)
    assert again.entries[1].orders == ((limited, "POLICY"),)
    assert type(again.entries[1].orders[0][0].kind) is OrderKind
    again.close()


def test_log_of_an_earlier_release_reads_beside_a_new_one(tmp_path: Path) -> None:
    orders = tuple(OrderRecord(name, "BTC", 1.0, 2.0, "POLICY", True) for name in "ab")
    limited = OrderRecord("c", "BTC", 1.0, 2.0, "POLICY", True, "LIMIT", 2.5, None, "IOC")
    ticks = [make_tick(0, orders=orders), make_tick(1, orders=()), make_tick(2, orders=(limited,))]
    facts = {b"tradewind.format_version": b"1"}
    table = pa.Table.from_batches([to_batch(ticks)]).replace_schema_metadata(facts)
    pq.write_table(earlier(table.slice(0, 2), facts), tmp_path / "000000000000.parquet")
    pq.write_table(table.slice(2), tmp_path / "000000000002.parquet")
    log = DecisionLog(tmp_path)
    assert log.ticks.schema.equals(TICK_SCHEMA)
    read = [OrderRecord(**row) for row in rows_of(log)]
    assert read == [*orders, limited]
    assert DecisionLog(tmp_path, columns=["sequence"]).ticks.num_rows == 3


def rows_of(log: DecisionLog) -> list[dict[str, Any]]:
    rows = log.flat("orders").to_pylist()
    return [{key: row[key] for key in row if key not in ("sequence", "close_ns")} for row in rows]


def earlier(table: pa.Table, facts: dict[bytes, bytes]) -> pa.Table:
    """The table as a release wrote it that knew no kinds of orders."""
    later = ("kind", "limit_price", "stop_price", "time_in_force")
    kind = TICK_SCHEMA.field("orders").type.value_type
    old = pa.list_(pa.struct([item for item in kind if item.name not in later]))
    rows = table.to_pylist()
    for row in rows:
        row["orders"] = [{k: v for k, v in it.items() if k not in later} for it in row["orders"]]
    at = TICK_SCHEMA.get_field_index("orders")
    return pa.Table.from_pylist(rows, TICK_SCHEMA.set(at, pa.field("orders", old))).cast(
        TICK_SCHEMA.set(at, pa.field("orders", old)).with_metadata(facts)
    )


def test_terms_of_logs_are_read_and_what_is_none_is_refused() -> None:
    old = read_terms({"broker": {"market": PLAIN.model_dump(), "max_leverage": 3.0}})
    assert old is not None
    assert (old.name, old.fee) == ("paper", 0.0)
    assert old.paper is not None
    assert old.paper.max_leverage == 3.0
    assert read_terms({"broker": old.model_dump(mode="json")}) == old
    assert read_terms({}) is None
    for odd in ({"name": "v"}, {"name": "v", "fee": 2.0}, {"market": {"fe": 1}}, {"x": 1}):
        with pytest.raises(SettingsError, match="the log's broker is refused"):
            read_terms({"broker": odd})
