"""What a paper account did, as the risk calculators want to see it."""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from tradewind.market import Account, Bar
from tradewind.risk import Position, RiskInputs

__all__ = ["Ledger"]

_NS_PER_SECOND = 1_000_000_000
_NS_PER_DAY = 86_400 * _NS_PER_SECOND
_ADV_DAYS = 7

Number = TypeVar("Number", np.float64, np.int64)


class Ledger:
    """Records an account bar by bar and gives the risk inputs of now.

    They equal, bit for bit, those of the training environment after the same bars and trades.

    Args:
        symbol: What is traded.
        capital_base: Capital that turnover and leverage are fractions of.
        interval_ns: Length of a bar in nanoseconds.
    """

    def __init__(self, symbol: str, capital_base: float, interval_ns: int) -> None:
        self._symbol = symbol
        self._capital_base = capital_base
        self._interval_ns = interval_ns
        self._bar_starts_ns = _Series(np.int64)
        self._volume_before = _Series(np.float64)
        self._volume_sum = 0.0
        self._close_seconds = _Series(np.float64)
        self._values = _Series(np.float64)
        self._trade_seconds = _Series(np.float64)
        self._trade_notionals = _Series(np.float64)
        self._day: int | None = None
        self._start_of_day_value = 0.0

    def record_bar(self, bar: Bar) -> None:
        """Takes in a closed bar, whether or not an account is open yet."""
        self._bar_starts_ns.append(bar.timestamp_ns)
        self._volume_before.append(self._volume_sum)
        self._volume_sum += bar.volume

    def record_value(self, value: float) -> None:
        """Takes in what the account is worth at the close of the last bar."""
        close_ns = int(self._bar_starts_ns.view()[-1]) + self._interval_ns
        day = close_ns // _NS_PER_DAY
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

        Average daily volume is that of the last seven days, absent until the bars go back so far.
        """
        now = float(self._close_seconds.view()[-1])
        volume = self._average_daily_volume()
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
            average_daily_volumes={self._symbol: volume} if volume else {},
        )

    def _average_daily_volume(self) -> float | None:
        starts = self._bar_starts_ns.view()
        window_ns = _ADV_DAYS * _NS_PER_DAY
        if starts[-1] + self._interval_ns - window_ns < starts[0]:
            return None
        first = np.searchsorted(starts, starts[-1] - window_ns, side="right")
        return (self._volume_sum - float(self._volume_before.view()[first])) / _ADV_DAYS


class _Series(Generic[Number]):
    """Numbers that are appended; views of what there is stay valid and read-only."""

    def __init__(self, kind: type[Number]) -> None:
        self._buffer: NDArray[Number] = np.empty(1024, dtype=kind)
        self._count = 0

    def append(self, value: float) -> None:
        if self._count == self._buffer.size:
            self._buffer = np.concatenate((self._buffer, np.empty_like(self._buffer)))
        self._buffer[self._count] = value
        self._count += 1

    def view(self) -> NDArray[Number]:
        view = self._buffer[: self._count]
        view.setflags(write=False)
        return view
