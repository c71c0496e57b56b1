"""The journal and the broker's books: compared first, and only then is anything sent.

Every order was journalled before it was sent, so a crash leaves only those of the journal's last
line in doubt. The broker's word is taken on each of them. Those that it does not know are sent
under their ids, which makes one order of each; but not before both sides are known to agree, and
not without a new answer of the risk service, for what it allowed before the crash it may not allow
any more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.account.journal import JournalEntry
from orchestrator.account.portfolio import Portfolio
from orchestrator.agents.reasons import Reason
from orchestrator.brokers import Broker, Order, OrderState, OrderStatus
from orchestrator.brokers import Holdings as BrokerHoldings
from orchestrator.records import FillRecord
from tradewind.errors import ConflictError, UnavailableError

__all__ = ["Judge", "PendingOrders", "Reconciled", "reconcile", "reconcile_within"]

_logger = logging.getLogger(__name__)

_AGAIN_S: Final = 0.2
_LOOKS: Final = 10

PendingOrders = Sequence[tuple[Order, str]]
"""Orders and the reason for each, as the journal has them."""

Judge = Callable[[PendingOrders, Mapping[str, float]], Awaitable[Mapping[str, str]]]
"""Says which orders must not be sent, given what is held: the reason by the id of each."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What became of the last line's orders.

    Attributes:
        withheld: Why, by the id of each order that was not sent.
        rejected: Why, by the id of each order that the broker rejected.
    """

    withheld: Mapping[str, str] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)


async def reconcile_within(
    seconds: float,
    broker: Broker,
    entries: Sequence[JournalEntry],
    portfolio: Portfolio,
    judge: Judge,
) -> Reconciled:
    """Reconciles, and begins anew while the broker cannot be reached.

    Args:
        seconds: How long to wait for the broker.
        broker: The broker.
        entries: The journal.
        portfolio: The account as the journal has it.
        judge: Which orders must not be sent.

    Raises:
        ConflictError: The broker's books are others than the journal's.
        UnavailableError: The broker cannot be reached or does not answer.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await reconcile(broker, entries, portfolio, judge)
        except TimeoutError:
            raise UnavailableError(f"the broker did not answer within {seconds:g} s") from None
        except UnavailableError as problem:
            if loop.time() + _AGAIN_S >= deadline:
                raise
            _logger.warning("%s, asking again: %s", Reason.BROKER_UNAVAILABLE, problem)
            await asyncio.sleep(_AGAIN_S)


async def reconcile(
    broker: Broker, entries: Sequence[JournalEntry], portfolio: Portfolio, judge: Judge
) -> Reconciled:
    """Compares the account with the broker's books, then sends what a crash kept from being sent.

    A simulated broker is shown the last bars first, so that it judges orders by their prices. The
    broker refuses what is no longer valid.

    Args:
        broker: The broker.
        entries: The journal.
        portfolio: The account as the journal has it.
        judge: Which orders must not be sent; not asked when there are none.

    Raises:
        ConflictError: The broker's books are others than the journal's: nothing was sent.
        UnavailableError: The broker cannot be reached.
    """
    last_bars = {bar.symbol: bar for entry in entries for bar in entry.bars}
    await broker.observe(tuple(last_bars.values()))
    holdings = await _compare(broker, entries, portfolio)
    unknown: list[tuple[Order, str]] = []
    rejected: dict[str, str] = {}
    for order, reason in entries[-1].orders if entries else ():
        state = await broker.order(order.client_order_id)
        if state is None:
            unknown.append((order, reason))
            continue
        _check_same(order, state)
        if state.status is OrderStatus.REJECTED:
            rejected[order.client_order_id] = Reason.ORDER_REJECTED
    if not unknown:
        return Reconciled(rejected=rejected)
    withheld = await judge(unknown, holdings.positions)
    for name, reason in withheld.items():
        _logger.warning("%s: order %s of before the crash is not sent", reason, name)
    allowed = [order for order, _ in unknown if order.client_order_id not in withheld]
    for state in await broker.submit(allowed) if allowed else ():
        name = state.order.client_order_id
        if state.status is OrderStatus.REJECTED:
            rejected[name] = Reason.ORDER_REJECTED
        _logger.warning(
            "%s: order %s was not sent before the crash; it is now %s %s",
            Reason.RECONCILIATION, name, state.status, state.reason,
        )  # fmt: skip
    return Reconciled(withheld, rejected)


async def _compare(
    broker: Broker, entries: Sequence[JournalEntry], portfolio: Portfolio
) -> BrokerHoldings:
    """Refuses books that differ; gives what the broker holds."""
    journalled = {order.client_order_id: order for entry in entries for order, _ in entry.orders}
    for state in await broker.open_orders():
        name = state.order.client_order_id
        if name not in journalled:
            raise ConflictError(f"the broker has an open order that is not in the journal: {name}")
        _check_same(journalled[name], state)
    fills, holdings = await _look(broker, portfolio.last_fill_sequence)
    for place, fill in enumerate(fills, start=portfolio.last_fill_sequence + 1):
        order = journalled.get(fill.client_order_id)
        if fill.sequence != place:
            raise ConflictError(f"the broker's fill {fill.sequence} comes where {place} should")
        if order is None or order.symbol != fill.symbol:
            raise ConflictError(
                f"the broker's fill {fill.sequence} is of an order that is not in the journal: "
                f"{fill.client_order_id}, {fill.symbol}"
            )
    portfolio.check_against(holdings, fills)
    return holdings


async def _look(broker: Broker, after_sequence: int) -> tuple[Sequence[FillRecord], BrokerHoldings]:
    """Fills and holdings of one moment: an open order may be filled between two questions."""
    fills = await broker.fills(after_sequence)
    for _ in range(_LOOKS):
        holdings = await broker.holdings()
        again = await broker.fills(after_sequence)
        if len(again) == len(fills):
            return fills, holdings
        fills = again
    raise UnavailableError("the broker fills orders faster than its books can be compared")


def _check_same(order: Order, state: OrderState) -> None:
    if state.order != order:
        raise ConflictError(
            f"the broker knows order {order.client_order_id} as another one: {state.order}, "
            f"in the journal it is {order}"
        )
