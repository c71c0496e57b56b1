"""Takes back orders that still work where positions are closed, or nothing is traded any more."""

import asyncio
import dataclasses
import logging
from collections.abc import Iterable

from orchestrator.account.portfolio import CENT, Portfolio
from orchestrator.agents.decision import TickDecision
from orchestrator.agents.reasons import Reason
from orchestrator.brokers import Broker, OrderState
from orchestrator.records import OrderRecord
from tradewind.errors import UnavailableError

__all__ = ["withdraw_orders"]

_logger = logging.getLogger(__name__)


async def withdraw_orders(
    broker: Broker,
    decision: TickDecision,
    portfolio: Portfolio,
    symbols: Iterable[str],
    timeout_s: float,
) -> list[OrderRecord]:
    """Cancels open orders where positions are closed or held, and closes what is then held.

    An order that closes the whole position already is left to do so: another one beside it would
    go through zero. What was filled until the cancel, and is not booked yet, counts.

    Args:
        broker: The broker.
        decision: Its intents are changed; those of a symbol whose orders do not end are refused.
        portfolio: The account, without fills since it was booked.
        symbols: What has open orders that must not go on.
        timeout_s: How long the broker may take.

    Returns:
        The orders that were taken back, as the log has them.
    """
    cancelled: list[OrderRecord] = []
    refused = dict.fromkeys(symbols, Reason.BROKER_UNAVAILABLE)  # until it has answered
    try:
        async with asyncio.timeout(timeout_s):
            by_symbol: dict[str, list[OrderState]] = {symbol: [] for symbol in refused}
            for state in await broker.open_orders():
                if state.order.symbol in by_symbol:
                    by_symbol[state.order.symbol].append(state)
            for symbol, states in by_symbol.items():
                refused[symbol] = Reason.ORDER_OPEN
                if not _close_already(symbol, states, portfolio):
                    await _cancel(broker, states, cancelled)
                    del refused[symbol]
            if cancelled:
                await _close_what_is_left(broker, decision, portfolio)
    except (UnavailableError, TimeoutError) as problem:
        _logger.warning("%s: %s", Reason.BROKER_UNAVAILABLE, problem or "it did not answer")
        decision.add(Reason.BROKER_UNAVAILABLE)
        # What was filled until a cancel is not known: the next tick books it, and closes the rest.
        refused = dict.fromkeys(symbols, Reason.BROKER_UNAVAILABLE)
    if refused:
        decision.intents = [
            dataclasses.replace(intent, refusal=refused[intent.symbol].value)
            if intent.symbol in refused
            else intent
            for intent in decision.intents
        ]
    if cancelled:
        decision.add(Reason.WITHDRAWN)
    return cancelled


async def _cancel(
    broker: Broker, states: Iterable[OrderState], cancelled: list[OrderRecord]
) -> None:
    for state in states:
        ended = await broker.cancel(state.order.client_order_id)
        cancelled.append(_record(ended))
        if not ended.status.is_final:
            raise UnavailableError(f"order {state.order.client_order_id} is still {ended.status}")


def _close_already(symbol: str, states: Iterable[OrderState], portfolio: Portfolio) -> bool:
    account = portfolio.account(symbol)
    if account is None or not account.quantity:
        return False
    left = sum(state.order.quantity - state.filled_quantity for state in states)
    return abs(account.quantity + left) * account.mark_price < CENT


async def _close_what_is_left(broker: Broker, decision: TickDecision, portfolio: Portfolio) -> None:
    unbooked: dict[str, float] = {}
    for fill in await broker.fills(portfolio.last_fill_sequence):
        unbooked[fill.symbol] = unbooked.get(fill.symbol, 0.0) + fill.quantity
    if unbooked:
        decision.intents = [
            dataclasses.replace(intent, quantity=intent.quantity - unbooked.get(intent.symbol, 0.0))
            if intent.reason is Reason.FLATTEN
            else intent
            for intent in decision.intents
        ]
        decision.intents = [intent for intent in decision.intents if intent.quantity]


def _record(state: OrderState) -> OrderRecord:
    order = state.order
    return OrderRecord(
        order.client_order_id,
        order.symbol,
        order.quantity - state.filled_quantity,
        order.reference_price,
        Reason.WITHDRAWN,
        sent=False,
    )
