"""Replays bars through a paper account, the way the training environment trades."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from orchestrator.ledger import Ledger
from tradewind.errors import MarketDataError
from tradewind.market import Account, Bar, Bars, TradingTerms
from tradewind.risk import FloatArray

__all__ = ["ReplayResult", "Strategy", "replay"]


class Strategy(Protocol):
    """What decides after each bar."""

    def update(self, bar: Bar) -> None:
        """Takes in the next closed bar, from the first one of the warm-up on."""

    def decide(self, account: Account, ledger: Ledger) -> float | None:
        """The position to go to at the next open, as a signed fraction of equity.

        None keeps the quantity.
        """


@dataclass(frozen=True, slots=True, eq=False)
class ReplayResult:
    """What the account went through.

    Attributes:
        timestamps: Close of each bar, seconds since the epoch. Shape [n].
        equity: Account value at each close; the first is the initial cash. Shape [n].
        trade_count: Number of fills.
        fees_paid: Transaction costs of all fills.
    """

    timestamps: FloatArray
    equity: FloatArray
    trade_count: int
    fees_paid: float

    @property
    def total_return(self) -> float:
        """Simple return over all bars."""
        return float(self.equity[-1] / self.equity[0] - 1.0)


def replay(
    bars: Bars, terms: TradingTerms, strategy: Strategy, *, warm_up_bars: int
) -> ReplayResult:
    """Trades bars as the environment does: decided at a close, filled at the next open.

    Args:
        bars: What to trade.
        terms: Costs and sizes.
        strategy: Decides at each close but the last.
        warm_up_bars: Bars that are seen before the account opens, at the close of the last one.

    Raises:
        MarketDataError: There are too few bars for the warm-up.
    """
    if len(bars) < warm_up_bars:
        raise MarketDataError(f"{len(bars)} bars are too few: the warm-up takes {warm_up_bars}")
    ledger = Ledger(bars.symbol, terms.initial_cash, bars.interval_ns, bars.market)
    first = warm_up_bars - 1
    account = Account(terms.initial_cash, float(bars.close[first]))
    equity = np.empty(len(bars) - first)
    target: float | None = None
    trade_count = 0
    for index in range(len(bars)):
        bar = bars.bar(index)
        strategy.update(bar)
        ledger.record_bar(bar)
        if index < first:
            continue
        if target is not None and _fill(account, target, bar, terms):
            trade_count += 1
            ledger.record_trade(bar.timestamp_ns, account.last_trade_notional or 0.0)
        if index > first:
            account.close_bar(bar.close)
        ledger.record_value(account.equity)
        equity[index - first] = account.equity
        if index < len(bars) - 1:
            target = strategy.decide(account, ledger)
    closes = bars.close_times_ns[first:] / 1e9
    return ReplayResult(closes, equity, trade_count, account.fees_paid)


def _fill(account: Account, target: float, bar: Bar, terms: TradingTerms) -> bool:
    quantity = account.fill_toward(
        target,
        bar.open,
        transaction_cost=terms.transaction_cost,
        slippage=terms.slippage,
        rebalance_threshold=terms.rebalance_threshold,
    )
    return quantity != 0.0
