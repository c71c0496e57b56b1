"""Brokers that raise, hang, lie and contradict themselves, behind the guard."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.brokers import (
    Broker,
    BrokerGuard,
    BrokerTerms,
    Holdings,
    Order,
    OrderKind,
    OrderSettings,
    OrderState,
    OrderStatus,
    TimeInForce,
)
from orchestrator.mandate import Mandate
from orchestrator.records import FillRecord
from tradewind.errors import (
    ComponentError,
    ConflictError,
    NotFoundError,
    StorageError,
    UnavailableError,
)

TERMS = BrokerTerms(name="venue", fee=0.003)
LIMITED = BrokerTerms(name="venue", fee=None, orders=tuple(OrderKind))
BUY = Order("1", "BTC", 2.0, 100.0, 1, 2)
SELL = Order("2", "ETH", -1.0, 50.0, 1, 2)


class Venue(Broker):
    """Answers as a test says."""

    def __init__(self, terms: Any = TERMS, **answers: Any) -> None:
        super().__init__(Mandate(("BTC", "ETH"), 1), None)
        self.said = terms
        self.answers = answers

    def terms(self) -> BrokerTerms:
        said: BrokerTerms = self.said() if callable(self.said) else self.said
        return said

    def answer(self, name: str, otherwise: Any) -> Any:
        answer = self.answers.get(name, otherwise)
        return answer() if callable(answer) else answer

    async def submit(self, orders: Sequence[Order]) -> Any:
        return self.answer("submit", [OrderState(order) for order in orders])

    async def cancel(self, client_order_id: str) -> Any:
        return self.answer("cancel", OrderState(BUY, OrderStatus.CANCELLED))

    async def order(self, client_order_id: str) -> Any:
        return self.answer("order", None)

    async def open_orders(self) -> Any:
        return self.answer("open_orders", [])

    async def fills(self, after_sequence: int) -> Any:
        return self.answer("fills", [])[after_sequence:]

    async def holdings(self) -> Any:
        return self.answer("holdings", Holdings(0.0, {}))

    async def close(self) -> None:
        self.answer("close", None)


def fill(
    sequence: int, order: Order = BUY, quantity: float | None = None, **changes: Any
) -> FillRecord:
    size = order.quantity if quantity is None else quantity
    price = order.reference_price
    fee = abs(size) * price * 0.003
    name, symbol = order.client_order_id, order.symbol
    return replace(FillRecord(sequence, name, symbol, size, price, price, fee, 1), **changes)


def raising(problem: BaseException) -> Callable[[], Any]:
    def answer() -> Any:
        raise problem

    return answer


def filled(
    *fills: FillRecord, terms: BrokerTerms = TERMS, sent: Sequence[Order] = (BUY, SELL)
) -> BrokerGuard:
    """A guard that has seen fills of orders that were sent."""

    async def run() -> BrokerGuard:
        guard = BrokerGuard(Venue(terms, fills=list(fills)))
        await guard.submit(sent)
        assert tuple(await guard.fills(0)) == fills
        return guard

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (None, r"broker.kind: Venue.terms gave None; expected: BrokerTerms"),
        ({"name": "venue", "fee": 0.0}, r"broker.kind: Venue.terms gave \{'name'"),
        (type("More", (BrokerTerms,), {})(name="v", fee=0.0), r"Venue.terms gave More\("),
        (raising(KeyError("fee")), r"Venue.terms raised KeyError \(test_guard.py:\d+\): 'fee'"),
        (BrokerTerms(name="v", fee=0.0, orders=()), r"orders.kind: needs MARKET, .* takes none"),
        (
            BrokerTerms(name="v", fee=0.0, times_in_force=(TimeInForce.IOC,)),
            r"orders.time_in_force: needs GTD, and the broker v takes IOC",
        ),
    ],
)
def test_broker_without_terms_or_orders_that_are_needed_is_refused(terms: Any, says: str) -> None:
    with pytest.raises(ComponentError, match=f"^broker is refused: .*{says}"):
        BrokerGuard(Venue(terms))


def test_broker_that_lacks_what_the_settings_need_is_refused_by_name() -> None:
    style = OrderSettings(kind=OrderKind.LIMIT, time_in_force=TimeInForce.IOC)
    with pytest.raises(ComponentError, match=r"orders.kind: needs LIMIT, .* venue takes MARKET"):
        BrokerGuard(Venue(), style)
    with pytest.raises(ComponentError, match=r"orders.time_in_force: needs IOC, .* takes GTD"):
        BrokerGuard(Venue(LIMITED), style)
    BrokerGuard(Venue(LIMITED), OrderSettings(kind=OrderKind.LIMIT))


def test_broker_that_leaves_a_method_out_cannot_be_made() -> None:
    class Half(Broker):
        def terms(self) -> BrokerTerms:
            return TERMS

    with pytest.raises(TypeError, match=r"abstract method.* cancel, fills"):
        Half(Mandate(("BTC",), 1), None)  # type: ignore[abstract]


ASKS: dict[str, Callable[[Broker], Any]] = {
    "observe": lambda it: it.observe(()),
    "submit": lambda it: it.submit([BUY]),
    "cancel": lambda it: it.cancel("1"),
    "order": lambda it: it.order("1"),
    "open_orders": lambda it: it.open_orders(),
    "fills": lambda it: it.fills(0),
    "holdings": lambda it: it.holdings(),
}


@pytest.mark.parametrize("name", [name for name in ASKS if name != "observe"])
def test_broker_that_raises_or_gives_something_else_is_unavailable_and_says_where(
    name: str,
) -> None:
    venue = Venue(**{name: raising(ZeroDivisionError("at the desk"))})
    with pytest.raises(UnavailableError, match=rf"{name} raised Zero.*\(test_guard.py:\d+\): at"):
        asyncio.run(ASKS[name](BrokerGuard(venue)))
    for odd in (7, "text", [7], [None]) if name != "order" else (7, "text"):
        guard = BrokerGuard(Venue(**{name: odd}))
        with pytest.raises(UnavailableError, match=rf"{name} (gave|raised)"):
            asyncio.run(ASKS[name](guard))


def test_broker_that_takes_other_orders_or_only_some_is_not_believed() -> None:
    other = Venue(submit=[OrderState(replace(BUY, quantity=2.5))])
    with pytest.raises(ConflictError, match=r"took Order\(.*quantity=2.5.* for Order\(.*=2.0"):
        asyncio.run(BrokerGuard(other).submit([BUY]))
    with pytest.raises(UnavailableError, match="submit gave 1 of 2 orders"):
        asyncio.run(BrokerGuard(Venue(submit=[OrderState(BUY)])).submit([BUY, SELL]))


def test_broker_whose_method_does_not_wait_is_unavailable() -> None:
    class Hasty(Venue):
        def fills(self, after_sequence: int) -> Any:
            return [fill(1)]

    with pytest.raises(UnavailableError, match="fills raised TypeError"):
        asyncio.run(BrokerGuard(Hasty()).fills(0))


def test_errors_of_tradewinds_own_come_through_and_a_lost_order_is_unavailable() -> None:
    with pytest.raises(StorageError, match="the disk"):
        asyncio.run(BrokerGuard(Venue(fills=raising(StorageError("the disk")))).fills(0))
    with pytest.raises(ConflictError, match="another"):
        asyncio.run(BrokerGuard(Venue(submit=raising(ConflictError("another")))).submit([BUY]))
    with pytest.raises(UnavailableError, match="knows no order that was open: gone"):
        asyncio.run(BrokerGuard(Venue(cancel=raising(NotFoundError("gone")))).cancel("1"))


def test_cancelled_question_ends_as_cancelled() -> None:
    class Hanging(Venue):
        async def fills(self, after_sequence: int) -> Sequence[FillRecord]:
            await asyncio.Event().wait()
            return ()

    async def run() -> None:
        async with asyncio.timeout(0.01):
            await BrokerGuard(Hanging()).fills(0)

    with pytest.raises(TimeoutError):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("fills", "says"),
    [
        ([fill(2)], r"fill 2 comes where 1 should"),
        ([fill(1), fill(1)], r"fill 1 comes where 2 should"),
        ([fill(1), fill(2)], r"fill 2 cannot be: client_order_id 1 is of no order"),
        ([fill(1, quantity=2.1)], r"fill 1 cannot be: quantity is 2.1, expected: 2.0"),
        ([fill(1, quantity=-2.0)], r"fill 1 cannot be: quantity is -2.0, expected: 2.0"),
        ([fill(1, quantity=1.5), fill(2, quantity=0.6)], r"fill 2 cannot be: quantity is 2.1"),
        ([fill(1, client_order_id="manual")], r"client_order_id manual is of no order that was"),
        ([fill(1, symbol="ETH")], r"symbol is ETH, expected: BTC"),
        ([fill(1, symbol="XRP")], r"symbol is XRP, expected: BTC"),
        ([fill(1, quantity=0.0)], r"fill is \(0.0, .*expected: finite numbers"),
        ([fill(1, price=float("nan"))], r"expected: finite numbers"),
        ([fill(1, price=-1.0)], r"expected: finite numbers"),
        ([fill(1, fee=float("inf"))], r"expected: finite numbers"),
    ],
)
def test_fills_that_contradict_the_orders_are_refused(fills: list[FillRecord], says: str) -> None:
    with pytest.raises(ConflictError, match=says):
        filled(*fills)


def test_fills_that_change_afterwards_are_refused_and_the_same_again_are_not() -> None:
    async def run() -> None:
        venue = Venue(fills=[fill(1, quantity=1.0)])
        guard = BrokerGuard(venue)
        await guard.submit([BUY])
        for _ in range(2):  # a withdrawal looks before the fills are booked, and the tick again
            assert len(await guard.fills(0)) == 1
        venue.answers["fills"] = [fill(1, quantity=1.5)]
        with pytest.raises(ConflictError, match="fill 1 was .* and is .* now"):
            await guard.fills(0)
        assert len(await guard.fills(1)) == 0
        assert guard.doubt == ""

    asyncio.run(run())


def test_orders_of_an_earlier_run_may_be_filled_and_filled_ones_not_again() -> None:
    guard = BrokerGuard(Venue(fills=[fill(1), fill(2, SELL)]))
    guard.recover([BUY, SELL], [fill(1)])
    assert len(asyncio.run(guard.fills(1))) == 1
    again = BrokerGuard(Venue(fills=[fill(1), fill(2)]))
    again.recover([BUY], [fill(1)])
    with pytest.raises(ConflictError, match="client_order_id 1 is of no order"):
        asyncio.run(again.fills(1))


@pytest.mark.parametrize(
    ("terms", "fills", "doubt"),
    [
        (TERMS, [fill(1, quantity=0.5), fill(2, quantity=1.5)], ""),
        (TERMS, [fill(1, fee=0.6000001)], "fee is 0.6000001, expected: 0.6"),
        (TERMS, [fill(1, quantity=1.0), fill(2, quantity=1.0, fee=0.5)], "fill 2 .*expected: 0.3"),
        (TERMS, [fill(1, quantity=1.0, fee=0.0), fill(2, quantity=1.0)], "fill 1 is not on its"),
        (LIMITED, [fill(1, fee=77.0)], ""),
        (BrokerTerms(name="v", fee=0.003, fee_rounding=0.01), [fill(1, fee=0.61)], ""),
        (BrokerTerms(name="v", fee=0.003, fee_rounding=0.01), [fill(1, fee=0.62)], "fee is 0.62"),
        (BrokerTerms(name="v", fee=0.0, fee_per_unit=0.25), [fill(1, fee=0.5)], ""),
        (
            BrokerTerms(name="v", fee=0.0, fee_per_unit=0.005, fee_minimum=1.0),
            [fill(1, quantity=1.0, fee=1.0), fill(2, quantity=1.0, fee=0.0)], "",
        ),
        (BrokerTerms(name="v", fee=-0.0001), [fill(1, fee=-0.02)], ""),
        (BrokerTerms(name="v", fee=-0.0001), [fill(1, fee=0.02)], "expected: -0.02"),
    ],
)  # fmt: skip
def test_fee_that_is_not_on_the_terms_makes_a_doubt_and_is_booked(
    terms: BrokerTerms, fills: list[FillRecord], doubt: str
) -> None:
    said = filled(*fills, terms=terms).doubt
    assert bool(said) == bool(doubt)
    assert re.search(doubt, said)


def test_limit_that_is_not_kept_makes_a_doubt() -> None:
    buy = Order("1", "BTC", 2.0, 100.0, 1, 2, OrderKind.LIMIT, 101.0)
    sell = Order("2", "ETH", -1.0, 50.0, 1, 2, OrderKind.LIMIT, 49.0)
    good = fill(1, buy, price=101.0), fill(2, sell, price=49.0)
    assert filled(*good, terms=LIMITED, sent=(buy, sell)).doubt == ""
    for bad in (fill(1, buy, price=101.01), fill(1, sell, price=48.99)):
        said = filled(bad, terms=LIMITED, sent=(buy, sell)).doubt
        assert f"price is {bad.price}" in said


def test_terms_that_change_under_way_make_a_doubt_that_stays() -> None:
    venue = Venue()
    guard = BrokerGuard(venue)
    guard.look_at_terms()
    venue.said = BrokerTerms(name="venue", fee=0.003)  # another object that says the same
    guard.look_at_terms()
    assert guard.doubt == ""
    venue.said = BrokerTerms(name="venue", fee=0.005)
    guard.look_at_terms()
    assert "its terms have changed: it said" in guard.doubt
    assert "fee=0.005" in guard.doubt
    venue.said = TERMS
    guard.look_at_terms()
    assert guard.doubt
    assert guard.terms() is TERMS  # what the log has
    failing = BrokerGuard(Venue(iter([TERMS]).__next__))
    failing.look_at_terms()
    assert "terms raised StopIteration" in failing.doubt


def test_holdings_that_are_no_numbers_are_refused() -> None:
    for held in (Holdings(float("nan"), {}), Holdings(0.0, {"BTC": float("inf")})):
        with pytest.raises(ConflictError, match="no number"):
            asyncio.run(BrokerGuard(Venue(holdings=held)).holdings())


def test_broker_that_fails_at_its_end_is_let_go_of(caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(BrokerGuard(Venue(close=raising(OSError("no line")))).close())
    assert "close raised OSError" in caplog.text


def test_fills_are_streamed_by_a_broker_that_only_answers() -> None:
    async def run() -> list[FillRecord]:
        venue = Venue(fills=[fill(1)])
        found = []
        async for item in BrokerGuard(venue).stream_fills():
            found.append(item)
            if len(found) == 2:
                break
            venue.answers["fills"] = [fill(1), fill(2, SELL)]
        return found

    assert [item.sequence for item in asyncio.run(run())] == [1, 2]
