"""After a crash: the account as the journal has it, and the broker's word on every order."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from orchestrator.agents.execution import ExecutionAgent
from orchestrator.agents.reasons import Reason
from orchestrator.brokers import Broker
from orchestrator.decision_log import DecisionLog, DecisionLogWriter, OrderRecord, Outcome
from orchestrator.decision_log.records import PositionRecord, TickRecord
from orchestrator.feeds import BarGuard
from orchestrator.journal import JournalEntry
from orchestrator.portfolio import Portfolio
from orchestrator.risk_history import RiskHistory
from tradewind.errors import NotFoundError

__all__ = ["last_logged", "reconcile", "restore"]

_logger = logging.getLogger(__name__)


def last_logged(folder: Path) -> int:
    """Number of the last tick in a decision log; -1 when there is none."""
    try:
        return int(DecisionLog(folder, columns=["sequence"]).ticks["sequence"][-1].as_py())
    except NotFoundError:
        return -1


async def restore(
    entries: Sequence[JournalEntry],
    *,
    account: str,
    run_id: str,
    logged: int,
    guard: BarGuard,
    agent: ExecutionAgent,
    portfolio: Portfolio,
    history: RiskHistory,
    log: DecisionLogWriter,
) -> None:
    """Goes through the ticks of earlier runs, and logs those that the log has not.

    Raises:
        ConflictError: The journal's fills are not without gaps.
        StorageError: The log cannot be written.
    """
    for entry in entries:
        positions = book_tick(
            entry.close_ns, entry, agent=agent, portfolio=portfolio, history=history
        )
        for bar in entry.bars:
            guard.seen(bar.symbol, bar.bar)
        if entry.sequence > logged:
            await log.append(
                TickRecord(
                    sequence=entry.sequence,
                    run_id=run_id,
                    account=account,
                    close_ns=entry.close_ns,
                    decided_ns=time.time_ns(),
                    outcome=Outcome.RECOVERED,
                    reasons=(),
                    bars=entry.bars,
                    refused_bars=(),
                    fills=entry.fills,
                    positions=positions,
                    cash=portfolio.cash,
                    equity=portfolio.equity,
                    fees_paid=portfolio.fees_paid,
                    start_of_day_equity=history.start_of_day_value,
                    inputs_digest="",
                    orders=tuple(
                        OrderRecord(
                            order.client_order_id, order.symbol, order.quantity,
                            order.reference_price, reason, sent=True,
                        )
                        for order, reason in entry.orders
                    ),
                )
            )  # fmt: skip


def book_tick(
    close_ns: int,
    entry: JournalEntry,
    *,
    agent: ExecutionAgent,
    portfolio: Portfolio,
    history: RiskHistory,
) -> tuple[PositionRecord, ...]:
    """Books a tick: fills first, as they came before the close, then its bars.

    Returns:
        The positions at its close.

    Raises:
        ConflictError: A fill is missing.
    """
    portfolio.apply(entry.fills)
    portfolio.close_bars(entry.bars)
    agent.learn(entry.bars)
    positions = portfolio.positions()
    history.record(close_ns, entry.bars, entry.fills, portfolio.equity, positions)
    return positions


async def reconcile(broker: Broker, entries: Sequence[JournalEntry], portfolio: Portfolio) -> None:
    """Sends what a crash kept from being sent, and compares the account with the broker's books.

    A simulated broker is shown the last bars first, so that it judges orders by their prices. Every
    order was journalled before it was sent. Those of the last entry may not have reached the
    broker; sending them again under their ids makes exactly one order of each. The broker refuses
    what is no longer valid.

    Raises:
        ConflictError: The broker holds something else than its fills add up to.
        UnavailableError: The broker cannot be reached.
    """
    last_bars = {bar.symbol: bar for entry in entries for bar in entry.bars}
    await broker.observe(tuple(last_bars.values()))
    if entries and entries[-1].orders:
        orders = [order for order, _ in entries[-1].orders]
        unknown = [order for order in orders if await broker.order(order.client_order_id) is None]
        for state in await broker.submit(unknown):
            _logger.warning(
                "%s: order %s was not sent before the crash; it is now %s %s",
                Reason.RECONCILIATION,
                state.order.client_order_id,
                state.status,
                state.reason,
            )
    pending = await broker.fills(portfolio.last_fill_sequence)
    portfolio.check_against(await broker.holdings(), pending)
