"""Sends the orders of an account, and asks at each tick what became of them."""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from orchestrator.agents.decision import TickDecision
from orchestrator.agents.enforcement import Intent
from orchestrator.agents.reasons import Reason
from orchestrator.agents.within import within
from orchestrator.brokers import BrokerGuard, Order, OrderSettings, OrderState, OrderStatus
from orchestrator.feeds import Tick
from orchestrator.markets import Markets
from orchestrator.records import FillRecord, OrderRecord
from tradewind.errors import TradewindError, UnavailableError

__all__ = ["OrderDesk"]

_logger = logging.getLogger(__name__)


class OrderDesk:
    """Stands between the decisions of a tick and the broker.

    Args:
        broker: Fills the orders.
        account: The account, after which orders are named.
        markets: Until when an order may work.
        style: How what is wanted becomes an order.
        timeout_s: How long the broker may take.
    """

    def __init__(
        self,
        broker: BrokerGuard,
        account: str,
        markets: Markets,
        style: OrderSettings,
        timeout_s: float,
    ) -> None:
        self._broker = broker
        self._account = account
        self._markets = markets
        self._style = style
        self._timeout_s = timeout_s

    async def look(
        self, tick: Tick, after_sequence: int, filled: list[FillRecord]
    ) -> frozenset[str] | None:
        """Shows the broker a tick and asks what it has filled.

        Args:
            tick: The tick.
            after_sequence: The last fill that is booked.
            filled: Takes in the fills, which count whatever comes then.

        Returns:
            Symbols with an order that is still open; None when the broker does not answer.
        """
        try:
            return await within(self._timeout_s, self._look(tick, after_sequence, filled))
        except (UnavailableError, TimeoutError) as problem:
            _logger.warning("%s: %s", Reason.BROKER_UNAVAILABLE, problem or "it did not answer")
            return None

    async def _look(
        self, tick: Tick, after_sequence: int, filled: list[FillRecord]
    ) -> frozenset[str]:
        self._broker.look_at_terms()
        await self._broker.observe(tick.bars)
        filled += await self._broker.fills(after_sequence)
        busy = set()
        for state in await self._broker.open_orders():
            if state.order.valid_until_ns <= tick.close_ns:  # it is no longer valid
                state = await self._broker.cancel(state.order.client_order_id)
            if not state.status.is_final:
                busy.add(state.order.symbol)
        return frozenset(busy)

    def orders(
        self, sequence: int, close_ns: int, intents: Iterable[Intent]
    ) -> list[tuple[Order, str]]:
        """The orders of a tick, each with the reason for it.

        Args:
            sequence: Number of the tick.
            close_ns: When its bars close.
            intents: What is wanted; refused ones are passed over.
        """
        return [
            (
                self._style.order(
                    f"{self._account}-{sequence}-{intent.symbol}",
                    intent.symbol,
                    intent.quantity,
                    intent.price,
                    close_ns,
                    self._markets.next_close_ns(intent.symbol, close_ns),
                    for_safety=intent.reason is Reason.FLATTEN,
                    instrument=self._markets.instruments.get(intent.symbol),
                ),
                intent.reason.value,
            )
            for intent in intents
            if not intent.refusal
        ]

    async def submit(
        self, orders: Sequence[tuple[Order, str]], decision: TickDecision
    ) -> tuple[OrderRecord, ...]:
        """Sends the orders of a tick; gives them, and what was refused, as the log has them."""
        refused = tuple(
            OrderRecord("", item.symbol, item.quantity, item.price, item.refusal, sent=False)
            for item in decision.intents
            if item.refusal
        )
        if not orders:
            return refused
        outcome = {}
        submitting = self._broker.submit([order for order, _ in orders])
        try:
            for state in await within(self._timeout_s, submitting):
                if state.status is OrderStatus.REJECTED:
                    outcome[state.order.client_order_id] = Reason.ORDER_REJECTED
                    decision.add(Reason.ORDER_REJECTED)
                    _logger.warning("order rejected: %s", state)
        except (UnavailableError, TimeoutError) as problem:
            # Whether they arrived is not known; the next fills, or the next start, will tell.
            decision.add(Reason.BROKER_UNAVAILABLE)
            _logger.warning("%s: %s", Reason.BROKER_UNAVAILABLE, problem or "it did not answer")
        return refused + tuple(
            order_record(order, outcome.get(order.client_order_id, reason))
            for order, reason in orders
        )

    async def open_orders_at_end(self) -> Sequence[OrderState] | None:
        """Asks for the last time, also when the run is cancelled; None when there is no answer."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._broker.open_orders()
        except (TradewindError, TimeoutError) as problem:
            _logger.warning("%s at the end: %s", Reason.BROKER_UNAVAILABLE, problem)
            return None


def order_record(order: Order, reason: str) -> OrderRecord:
    """An order that was sent as the log has it."""
    return OrderRecord(
        order.client_order_id, order.symbol, order.quantity, order.reference_price, reason, True,
        order.kind, order.limit_price, order.stop_price, order.time_in_force,
    )  # fmt: skip
