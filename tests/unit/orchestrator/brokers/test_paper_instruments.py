"""The paper broker with instruments: what it takes, and what fills of it are."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.brokers import (
    Order,
    OrderKind,
    OrderState,
    OrderStatus,
    PaperBroker,
    PaperBrokerSettings,
    PaperMarketSettings,
)
from orchestrator.brokers.terms import read_terms
from orchestrator.decision_log import BarRecord, FillRecord
from orchestrator.mandate import Mandate
from orchestrator.markets import Markets
from tradewind.market import Instrument
from tradewind.market.markets import ALWAYS_OPEN

STEP = 60_000_000_000
START = 1_600_000_020_000_000_000
PLAIN = PaperMarketSettings(
    latency_ms=0.0, fee=0.001, half_spread=0.0, levels=2, level_spacing=0.0, level_variation=0.0
)


def bar(index: int, price: float = 100.0, **changes: float) -> BarRecord:
    start_ns = START + index * STEP
    values = {"open": price, "high": 2 * price, "low": price / 2, "close": price, "volume": 1e3}
    return BarRecord("BTC", start_ns, **{**values, **changes}, arrived_ns=start_ns + STEP)  # type: ignore[arg-type]


def order(name: str, quantity: float, index: int = 0, **changes: Any) -> Order:
    close_ns = START + (index + 1) * STEP
    values = {"reference_price": 100.0, "valid_until_ns": close_ns + 5 * STEP, **changes}
    return Order(name, "BTC", quantity, submitted_ns=close_ns, **values)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., PaperBroker]]:
    made: list[PaperBroker] = []

    def open_broker(
        of_account: Instrument | None, of_broker: Instrument | None = None
    ) -> PaperBroker:
        instruments = {} if of_account is None else {"BTC": of_account}
        markets = Markets({"BTC": ALWAYS_OPEN}, STEP, instruments=instruments)
        mandate = Mandate(("BTC",), STEP, f"a{len(made)}", 1e5, tmp_path, markets)
        own = {} if of_broker is None else {"BTC": of_broker}
        broker = PaperBroker(mandate, PaperBrokerSettings(market=PLAIN, instruments=own))
        asyncio.run(broker.observe([bar(0)]))
        made.append(broker)
        return broker

    yield open_broker
    for each in made:
        asyncio.run(each.close())


def submit(broker: PaperBroker, *orders: Order) -> list[OrderState]:
    return list(asyncio.run(broker.submit(orders)))


def fills(broker: PaperBroker) -> list[FillRecord]:
    return list(asyncio.run(broker.fills(0)))


@pytest.mark.parametrize(
    ("instrument", "quantity", "changes", "reason"),
    [
        (Instrument(lot=1.0), 0.5, {}, "0.5 units are less than the lot of 1"),
        (Instrument(lot=1.0), 2.5, {}, "2.5 is no multiple of the lot of 1"),
        (Instrument(min_notional=300.0), 2.0, {}, "less than the minimum of 300.00 USD"),
        (
            Instrument(tick=0.5),
            1.0,
            {"kind": OrderKind.LIMIT, "limit_price": 100.2},
            "100.2 is no multiple of the tick of 0.5",
        ),
    ],
)
def test_order_that_the_instrument_does_not_take_is_rejected_with_the_reason(
    instrument: Instrument,
    quantity: float,
    changes: dict[str, Any],
    reason: str,
    make: Callable[..., PaperBroker],
) -> None:
    for broker in (make(instrument), make(None, instrument), make(Instrument(), instrument)):
        (state,) = submit(broker, order("a", quantity, **changes))
        assert state.status is OrderStatus.REJECTED
        assert reason in state.reason


def test_fills_are_at_ticks_in_lots_and_at_the_instruments_fee(
    make: Callable[..., PaperBroker],
) -> None:
    broker = make(Instrument(tick=0.5, lot=3.0, taker_fee=0.0004, maker_fee=0.0001))
    submit(broker, order("a", 30.0))
    asyncio.run(broker.observe([bar(1, 100.2)]))  # two levels of ten units
    (fill,) = fills(broker)
    assert (fill.quantity, fill.price, fill.reference_price) == (18.0, 100.5, 100.2)
    assert fill.fee == 18.0 * 100.5 * 0.0004
    asyncio.run(broker.observe([bar(2, 100.0)]))
    assert [it.quantity for it in fills(broker)] == [18.0, 12.0]


def test_limit_order_that_waited_pays_the_makers_fee(make: Callable[..., PaperBroker]) -> None:
    broker = make(Instrument(taker_fee=0.0004, maker_fee=-0.0001))
    limit: dict[str, Any] = {"kind": OrderKind.LIMIT, "limit_price": 99.0}
    submit(broker, order("a", 1.0, **limit))
    asyncio.run(broker.observe([bar(1, 100.0)]))
    assert not fills(broker)
    asyncio.run(broker.observe([bar(2, 98.0)]))
    (fill,) = fills(broker)
    assert fill.fee == pytest.approx(-0.0001 * fill.price)
    assert broker.terms().fee is None  # which no single fee says


def test_position_smaller_than_a_lot_and_the_minimum_can_be_closed(
    make: Callable[..., PaperBroker],
) -> None:
    loose = make(None)
    submit(loose, order("a", 0.25))
    asyncio.run(loose.observe([bar(1)]))
    loose._instruments = {"BTC": Instrument(lot=1.0, min_notional=1_000.0)}
    assert submit(loose, order("b", -0.1, 1))[0].status is OrderStatus.REJECTED
    assert submit(loose, order("c", -0.25, 1))[0].status is OrderStatus.NEW
    asyncio.run(loose.observe([bar(2)]))
    assert asyncio.run(loose.holdings()).positions == {}


def test_terms_of_a_broker_say_its_instruments_and_are_read_again(
    make: Callable[..., PaperBroker],
) -> None:
    terms = make(Instrument(lot=1.0, taker_fee=0.002)).terms()
    assert terms.paper is not None
    assert terms.paper.instruments == {"BTC": Instrument(lot=1.0, taker_fee=0.002)}
    assert read_terms({"broker": terms.model_dump(mode="json")}) == terms
