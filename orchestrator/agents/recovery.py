"""After a crash: the account as the journal has it."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.account.journal import CURE, JournalEntry
from orchestrator.account.portfolio import Portfolio
from orchestrator.account.risk_history import RiskHistory
from orchestrator.agents.execution import ExecutionAgent
from orchestrator.agents.order_desk import order_record
from orchestrator.decision_log import DecisionLog, DecisionLogWriter, Outcome
from orchestrator.feeds import BarGuard
from orchestrator.records import PositionRecord, TickRecord
from tradewind.errors import NotFoundError, StorageError

__all__ = ["book_tick", "last_logged", "restore", "with_outcomes"]


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
) -> TickRecord | None:
    """Goes through the ticks of earlier runs, and logs those that the log has not.

    Returns:
        The last tick, where the log has not got it: it is for the caller to log, once it is known
        what became of its orders.

    Raises:
        ConflictError: The journal's fills are not without gaps.
        StorageError: The log cannot be written, or has ticks that the journal has lost.
    """
    journalled = entries[-1].sequence if entries else -1
    if logged > journalled:  # each was in the journal, and flushed, before it was logged
        raise StorageError(
            f"the decision log has ticks up to {logged}, and the journal only up to {journalled}: "
            f"its end is lost, and orders in it were sent; {CURE}"
        )
    last: TickRecord | None = None
    for entry in entries:
        positions = book_tick(
            entry.close_ns, entry, agent=agent, portfolio=portfolio, history=history
        )
        for bar in entry.bars:
            guard.seen(bar.symbol, bar.bar)
        if entry.sequence > logged:
            if last is not None:
                await log.append(last)
            last = _recovered(entry, account, run_id, positions, portfolio, history)
    return last


def _recovered(
    entry: JournalEntry,
    account: str,
    run_id: str,
    positions: tuple[PositionRecord, ...],
    portfolio: Portfolio,
    history: RiskHistory,
) -> TickRecord:
    return TickRecord(
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
        orders=tuple(order_record(order, reason) for order, reason in entry.orders),
    )


def with_outcomes(
    tick: TickRecord, withheld: Mapping[str, str], rejected: Mapping[str, str]
) -> TickRecord:
    """A recovered tick, now that it is known what became of its orders.

    Args:
        tick: The tick.
        withheld: Why, by the id of each order that was not sent.
        rejected: Why, by the id of each order that was sent and rejected.
    """
    orders = tuple(
        dataclasses.replace(
            order,
            reason=withheld.get(name) or rejected.get(name) or order.reason,
            sent=name not in withheld,
        )
        for order in tick.orders
        for name in (order.client_order_id,)
    )
    found = dict.fromkeys((*withheld.values(), *rejected.values()))
    return dataclasses.replace(tick, orders=orders, reasons=tuple(found))


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
