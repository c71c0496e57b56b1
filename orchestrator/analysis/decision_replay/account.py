"""The account of a log, booked again from its bars and fills."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.account.carry import read_carried
from orchestrator.account.portfolio import Portfolio, read_allocations
from orchestrator.account.risk_history import RiskHistory
from orchestrator.analysis.decision_replay.ticks import LoggedTick
from orchestrator.markets import Markets
from tradewind.errors import ConflictError, TradewindError
from tradewind.risk import FloatArray, RiskInputs

__all__ = ["AccountTrail", "book_account"]


@dataclass(frozen=True, slots=True, eq=False)
class AccountTrail:
    """An account at each close: n ticks, s symbols.

    Attributes:
        symbols: What is traded.
        cash: Shape [n], like the next three.
        equity: Cash and positions at their marks.
        fees_paid: Since the account began.
        start_of_day_equity: Equity at the last close before the trading day.
        known: Whether the symbol has had a bar. Shape [n, s], like all that follow.
        quantity: Signed position.
        entry_price: NaN while flat.
        mark_price: Last close.
        exposure: As an observation says it, like the next two.
        unrealized_return: Of the position.
        bars_held: Of the position.
    """

    symbols: tuple[str, ...]
    cash: FloatArray
    equity: FloatArray
    fees_paid: FloatArray
    start_of_day_equity: FloatArray
    known: NDArray[np.bool_]
    quantity: FloatArray
    entry_price: FloatArray
    mark_price: FloatArray
    exposure: FloatArray
    unrealized_return: FloatArray
    bars_held: NDArray[np.int64]

    @classmethod
    def empty(cls, symbols: Sequence[str], count: int) -> "AccountTrail":
        """Room for the closes of `count` ticks."""
        shape = (count, len(symbols))
        return cls(
            symbols=tuple(symbols),
            cash=np.full(count, np.nan),
            equity=np.full(count, np.nan),
            fees_paid=np.full(count, np.nan),
            start_of_day_equity=np.full(count, np.nan),
            known=np.zeros(shape, dtype=np.bool_),
            quantity=np.full(shape, np.nan),
            entry_price=np.full(shape, np.nan),
            mark_price=np.full(shape, np.nan),
            exposure=np.full(shape, np.nan),
            unrealized_return=np.full(shape, np.nan),
            bars_held=np.zeros(shape, dtype=np.int64),
        )

    def take(self, other: "AccountTrail", first: int, stop: int) -> None:
        """Copies some rows of an account in the same symbols."""
        for name in self.__slots__[1:]:
            getattr(self, name)[first:stop] = getattr(other, name)[first:stop]


def book_account(
    ticks: Iterable[LoggedTick],
    facts: Mapping[str, Any],
    trail: AccountTrail,
    on_close: Callable[[int, RiskInputs], None],
    wants_risk: NDArray[np.bool_],
) -> None:
    """Books ticks as the orchestrator does: fills first, then the closes.

    Args:
        ticks: From the first one on.
        facts: Allocations, capital base, length of a bar and of the risk history.
        trail: Takes in each close.
        on_close: Gets the row and what the risk service was told there.
        wants_risk: Rows that `on_close` is called for. Shape [n].

    Raises:
        ConflictError: The fills cannot be booked; the message names the tick.
    """
    portfolio = Portfolio(read_allocations(facts))
    portfolio.carry(read_carried(facts), facts["interval_ns"])
    history = RiskHistory(
        portfolio.symbols,
        facts["capital_base"],
        facts["interval_ns"],
        facts["history_length"],
        Markets.of_log(portfolio.symbols, facts),
    )
    for row, tick in enumerate(ticks):
        try:
            portfolio.apply(tick.fills)
            portfolio.close_bars(tick.bars)
        except (TradewindError, KeyError) as problem:  # a symbol that the account does not trade
            raise ConflictError(f"tick {tick.sequence} cannot be booked: {problem}") from problem
        positions = portfolio.positions()
        history.record(tick.close_ns, tick.bars, tick.fills, portfolio.equity, positions)
        _write(trail, row, portfolio, history.start_of_day_value)
        if wants_risk[row]:
            on_close(row, history.inputs())


def _write(trail: AccountTrail, row: int, portfolio: Portfolio, start_of_day: float) -> None:
    trail.cash[row] = portfolio.cash
    trail.equity[row] = portfolio.equity
    trail.fees_paid[row] = portfolio.fees_paid
    trail.start_of_day_equity[row] = start_of_day
    places = {symbol: place for place, symbol in enumerate(trail.symbols)}
    for item in portfolio.positions():
        at = row, places[item.symbol]
        trail.known[at] = True
        trail.quantity[at] = item.quantity
        trail.entry_price[at] = np.nan if item.entry_price is None else item.entry_price
        trail.mark_price[at] = item.mark_price
        position = portfolio.position(item.symbol)
        trail.exposure[at] = position.exposure
        trail.unrealized_return[at] = position.unrealized_return
        trail.bars_held[at] = position.bars_held
