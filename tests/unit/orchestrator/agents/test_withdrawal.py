"""Open orders where positions are to be closed: none is doubled, none goes on by itself."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from orchestrator.account.portfolio import Allocation, Portfolio
from orchestrator.agents.decision import TickDecision
from orchestrator.agents.enforcement import Intent
from orchestrator.agents.reasons import Reason
from orchestrator.agents.withdrawal import withdraw_orders
from orchestrator.brokers import Order, OrderState, OrderStatus
from orchestrator.decision_log import BarRecord, FillRecord
from tradewind.errors import UnavailableError


class Book:
    """Open orders; a cancel first lets as much be filled as a test says."""

    def __init__(self, *orders: tuple[str, float], filled: float = 0.0, fails: str = "") -> None:
        self._states = [
            OrderState(Order(f"0-{symbol}", symbol, quantity, 100.0, 1, 2))
            for symbol, quantity in orders
        ]
        self._filled = filled
        self._fails = fails
        self._fills: list[FillRecord] = []
        self.cancelled: list[str] = []

    def _try(self, name: str) -> None:
        if name == self._fails:
            raise UnavailableError("gone")

    async def open_orders(self) -> Sequence[OrderState]:
        self._try("open_orders")
        return self._states

    async def cancel(self, client_order_id: str) -> OrderState:
        self._try("cancel")
        (state,) = [it for it in self._states if it.order.client_order_id == client_order_id]
        if self._filled:
            order = state.order
            self._fills.append(
                FillRecord(
                    len(self._fills) + 2, client_order_id, order.symbol, self._filled, 100.0, 100.0,
                    0.0, 1,
                )
            )  # fmt: skip
        self.cancelled.append(client_order_id)
        status = OrderStatus.PARTIALLY_FILLED if self._fails == "final" else OrderStatus.CANCELLED
        return state.advance(status, filled_quantity=self._filled)

    async def fills(self, after_sequence: int) -> Sequence[FillRecord]:
        self._try("fills")
        return self._fills[after_sequence - 1 :]


def account(quantity: float) -> Portfolio:
    portfolio = Portfolio([Allocation(("BTC",), "p", 10_000.0)])
    portfolio.close_bars([BarRecord("BTC", 0, 100.0, 101.0, 99.0, 100.0, 5.0, 1)])
    portfolio.apply([FillRecord(1, "a", "BTC", quantity, 100.0, 100.0, 0.0, 1)])
    return portfolio


def withdraw(book: Any, held: float) -> tuple[list[tuple[float, str]], list[Reason]]:
    """What is sent or refused where the whole position was to be closed, and the reasons."""
    decision = TickDecision(intents=[Intent("BTC", -held, 100.0, Reason.FLATTEN)])
    asyncio.run(withdraw_orders(book, decision, account(held), {"BTC"}, 60.0))
    return [(item.quantity, item.refusal) for item in decision.intents], decision.reasons


@pytest.mark.parametrize(
    ("book", "intents", "reasons", "cancelled"),
    [
        # It closes all of it already: another one beside it would go short.
        (lambda: Book(("BTC", -3.0)), [(-3.0, "ORDER_OPEN")], [], []),
        (lambda: Book(("BTC", -1.0)), [(-3.0, "")], ["WITHDRAWN"], ["0-BTC"]),
        (lambda: Book(("BTC", 5.0)), [(-3.0, "")], ["WITHDRAWN"], ["0-BTC"]),
        # What was filled until the cancel is held too, or no more.
        (lambda: Book(("BTC", 5.0), filled=2.0), [(-5.0, "")], ["WITHDRAWN"], ["0-BTC"]),
        (lambda: Book(("BTC", -4.0), filled=-3.0), [], ["WITHDRAWN"], ["0-BTC"]),
        # Other symbols are left alone.
        (lambda: Book(("ETH", 5.0)), [(-3.0, "")], [], []),
        (
            lambda: Book(("BTC", 5.0), fails="cancel"),
            [(-3.0, "BROKER_UNAVAILABLE")], ["BROKER_UNAVAILABLE"], [],
        ),
        (
            lambda: Book(("BTC", 5.0), fails="open_orders"),
            [(-3.0, "BROKER_UNAVAILABLE")], ["BROKER_UNAVAILABLE"], [],
        ),
        (
            lambda: Book(("BTC", 5.0), filled=2.0, fails="fills"),
            [(-3.0, "BROKER_UNAVAILABLE")], ["BROKER_UNAVAILABLE", "WITHDRAWN"], ["0-BTC"],
        ),
        (
            lambda: Book(("BTC", 5.0), filled=2.0, fails="final"),
            [(-3.0, "BROKER_UNAVAILABLE")], ["BROKER_UNAVAILABLE", "WITHDRAWN"], ["0-BTC"],
        ),
    ],
)  # fmt: skip
def test_open_order_where_the_position_is_closed_is_taken_back_or_left_to_close_it(
    book: Callable[[], Book], intents: list[Any], reasons: list[str], cancelled: list[str]
) -> None:
    orders = book()
    assert withdraw(orders, 3.0) == (intents, reasons)
    assert orders.cancelled == cancelled


def test_broker_that_does_not_answer_in_time_leaves_nothing_to_be_sent() -> None:
    class Silent(Book):
        async def open_orders(self) -> Sequence[OrderState]:
            await asyncio.Event().wait()
            return ()

    decision = TickDecision(intents=[Intent("BTC", -3.0, 100.0, Reason.FLATTEN)])
    found = asyncio.run(
        withdraw_orders(Silent(), decision, account(3.0), {"BTC"}, 0.01)  # type: ignore[arg-type]
    )
    assert (found, [item.refusal for item in decision.intents]) == ([], ["BROKER_UNAVAILABLE"])
