"""What a paper account did, as the risk calculators want to see it."""

import numpy as np

from orchestrator.account.series import Series
from tradewind.market import Account, Bar, Market
from tradewind.market.volume import average_daily_volume
from tradewind.risk import Position, RiskInputs

__all__ = ["Ledger"]

_NS_PER_SECOND = 1_000_000_000


class Ledger:
    """Records an account bar by bar and gives the risk inputs of now.

    They equal, bit for bit, those of the training environment after the same bars and trades.

    Args:
        symbol: What is traded.
        capital_base: Capital that turnover and leverage are fractions of.
        interval_ns: Length of a bar in nanoseconds.
        market: What it is traded on.
    """

    def __init__(self, symbol: str, capital_base: float, interval_ns: int, market: Market) -> None:
        self._symbol = symbol
        self._capital_base = capital_base
        self._interval_ns = interval_ns
        self._market = market
        self._periods_per_year = market.periods_per_year(interval_ns)
        self._bar_starts_ns = Series(np.int64)
        self._volumes = Series(np.float64)
        self._close_seconds = Series(np.float64)
        self._values = Series(np.float64)
        self._trade_seconds = Series(np.float64)
        self._trade_notionals = Series(np.float64)
        self._day: int | None = None
        self._start_of_day_value = 0.0

    def record_bar(self, bar: Bar) -> None:
        """Takes in a closed bar, whether or not an account is open yet."""
        self._bar_starts_ns.append(bar.timestamp_ns)
        self._volumes.append(bar.volume)

    def record_value(self, value: float) -> None:
        """Takes in what the account is worth at the close of the last bar."""
        close_ns = int(self._bar_starts_ns.view()[-1]) + self._interval_ns
        day = self._market.trading_day(close_ns)
        if self._day is None:
            # Says that there was no trade so far, which is not unknown.
            self.record_trade(int(self._bar_starts_ns.view()[-1]), 0.0)
        if day != self._day:
            self._day = day
            self._start_of_day_value = value
        self._close_seconds.append(float(close_ns) / _NS_PER_SECOND)
        self._values.append(value)

    def record_trade(self, timestamp_ns: int, notional: float) -> None:
        """Takes in a fill: its time, and its notional, positive for a buy."""
        self._trade_seconds.append(float(timestamp_ns) / _NS_PER_SECOND)
        self._trade_notionals.append(notional)

    def risk_inputs(self, account: Account) -> RiskInputs:
        """The account up to the close of the last bar.

        Average daily volume is that of the last seven days, a trading day, absent until the bars go
        back so far.
        """
        now = float(self._close_seconds.view()[-1])
        starts = self._bar_starts_ns.view()
        volume = average_daily_volume(
            starts,
            self._volumes.view(),
            len(starts) - 1,
            self._interval_ns,
            *self._market.session_hours_ns,
        )
        return RiskInputs(
            portfolio_values=self._values.view(),
            timestamps=self._close_seconds.view(),
            start_of_day_value=self._start_of_day_value,
            trade_timestamps=self._trade_seconds.view(),
            trade_notionals=self._trade_notionals.view(),
            capital_base=self._capital_base,
            positions=(Position(self._symbol, account.quantity, account.mark_price),),
            feed_timestamps={self._symbol: now},
            now=now,
            average_daily_volumes={self._symbol: volume} if volume > 0.0 else {},
            periods_per_year=self._periods_per_year,
        )
