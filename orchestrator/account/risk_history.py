"""What the risk rules look back on: the account's history, as short as they allow."""

from collections.abc import Iterable, Sequence

import numpy as np

from orchestrator.account.series import Series
from orchestrator.markets import Markets
from orchestrator.records import BarRecord, FillRecord, PositionRecord
from tradewind.market.volume import average_daily_volume
from tradewind.risk import FloatArray, Position, RiskInputs
from tradewind.risk.policy import RiskPolicy

__all__ = ["RiskHistory", "history_length"]

_NS_PER_SECOND = 1_000_000_000
_SECONDS_PER_DAY = 86_400.0


def history_length(policy: RiskPolicy) -> int:
    """Account values that the windows of a risk policy look back over."""
    windows = policy.calculators.windows()
    return max(windows.get(series, 1) for series in ("timestamps", "drawdowns", "returns")) + 1


class RiskHistory:
    """Takes in the account close by close and gives the risk inputs of now.

    Values older than the risk policy's windows are not sent at every close: three of them, the
    peak and trough of their largest drawdown and their highest value, stand for all. Every metric
    is then what the whole history gives, but for the durations of drawdowns, which count what is
    sent.

    Args:
        symbols: What is traded.
        capital_base: What turnover and leverage are fractions of.
        interval_ns: Length of a bar.
        length: Account values to send; see `history_length`.
        markets: Of the symbols; by default none is known.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        capital_base: float,
        interval_ns: int,
        length: int,
        markets: Markets | None = None,
    ) -> None:
        self._markets = markets or Markets.unknown(symbols, interval_ns)
        self._periods_per_year = self._markets.periods_per_year
        self._session_hours_ns = {
            symbol: self._markets.session_hours_ns(symbol) for symbol in symbols
        }
        self._capital_base = capital_base
        self._interval_ns = interval_ns
        self._length = length
        self._starts_ns = {symbol: Series(np.int64) for symbol in symbols}
        self._volumes = {symbol: Series(np.float64) for symbol in symbols}
        self._values = Series(np.float64)
        self._seconds = Series(np.float64)
        self._trade_seconds = Series(np.float64)
        self._trade_notionals = Series(np.float64)
        self._older = _OlderValues()
        self._day: int | None = None
        self._now_ns = 0
        self._positions: tuple[Position, ...] = ()
        self._average_daily_volumes: dict[str, float] = {}
        self._last_closes_ns: dict[str, int] = {}
        self.start_of_day_value = 0.0

    def record(
        self,
        close_ns: int,
        bars: Iterable[BarRecord],
        fills: Iterable[FillRecord],
        equity: float,
        positions: Iterable[PositionRecord],
    ) -> None:
        """Takes in a close: its bars, the fills before it, and the account at it."""
        seconds = close_ns / _NS_PER_SECOND
        self._now_ns = close_ns
        if self._day is None:
            # Says that there was no trade so far, which is not unknown.
            self._record_trade((close_ns - self._interval_ns) / _NS_PER_SECOND, 0.0)
        for bar in bars:
            self._record_bar(bar)
        # Fills of several symbols come in the order of their booking, not of their times.
        for fill in sorted(fills, key=lambda fill: fill.filled_ns):
            self._record_trade(fill.filled_ns / _NS_PER_SECOND, fill.quantity * fill.price)
        day = self._markets.trading_day(close_ns)
        if day != self._day:
            values = self._values.view()
            is_first = self._day is None or self._markets.ends_day(close_ns)
            self.start_of_day_value = equity if is_first else float(values[-1])
            self._day = day
        self._values.append(equity)
        self._seconds.append(seconds)
        values = self._values.view()
        if len(values) > self._length:
            at = len(values) - self._length - 1
            self._older.add(float(values[at]), float(self._seconds.view()[at]))
        self._positions = tuple(
            Position(item.symbol, item.quantity, item.mark_price) for item in positions
        )

    def inputs(self) -> RiskInputs:
        """The account at the last close."""
        now = float(self._seconds.view()[-1])
        values, seconds = (
            self._values.view()[-self._length :],
            self._seconds.view()[-self._length :],
        )
        if self._older.count:
            older_values, older_seconds = self._older.summary()
            values = np.concatenate((older_values, values))
            seconds = np.concatenate((older_seconds, seconds))
        trades = self._trade_seconds.view()
        recent = int(np.searchsorted(trades, now - _SECONDS_PER_DAY)) if len(trades) > 1 else 0
        recent = min(recent, len(trades) - 1)
        return RiskInputs(
            portfolio_values=values,
            timestamps=seconds,
            start_of_day_value=self.start_of_day_value,
            trade_timestamps=trades[recent:],
            trade_notionals=self._trade_notionals.view()[recent:],
            capital_base=self._capital_base,
            positions=self._positions,
            feed_timestamps={
                symbol: (last_ns if last_ns == self._now_ns else self._fresh_ns(symbol, last_ns))
                / _NS_PER_SECOND
                for symbol, last_ns in self._last_closes_ns.items()
            },
            now=now,
            average_daily_volumes=self._average_daily_volumes,
            periods_per_year=self._periods_per_year,
        )

    def _record_bar(self, bar: BarRecord) -> None:
        starts, volumes = self._starts_ns[bar.symbol], self._volumes[bar.symbol]
        starts.append(bar.start_ns)
        volumes.append(bar.volume)
        self._last_closes_ns[bar.symbol] = bar.start_ns + self._interval_ns
        view = starts.view()
        volume = average_daily_volume(
            view,
            volumes.view(),
            len(view) - 1,
            self._interval_ns,
            *self._session_hours_ns[bar.symbol],
        )
        if volume > 0.0:
            self._average_daily_volumes[bar.symbol] = volume

    def _fresh_ns(self, symbol: str, last_ns: int) -> int:
        """Until when the feed of a symbol has brought everything: while its market is closed, now.

        Args:
            symbol: What is traded.
            last_ns: When its last bar closed.
        """
        is_behind = last_ns < self._now_ns and self._markets.knows(symbol)
        is_closed = is_behind and self._markets.next_close_ns(symbol, last_ns) > self._now_ns
        return self._now_ns if is_closed else last_ns

    def _record_trade(self, seconds: float, notional: float) -> None:
        times = self._trade_seconds.view()
        self._trade_seconds.append(max(seconds, times[-1]) if len(times) else seconds)
        self._trade_notionals.append(notional)


class _OlderValues:
    """What drawdowns need of the values that are no longer sent."""

    def __init__(self) -> None:
        self.count = 0
        self._peak = (-np.inf, 0.0)
        self._worst = 0.0
        self._worst_peak = (0.0, 0.0)
        self._worst_trough = (0.0, 0.0)

    def add(self, value: float, seconds: float) -> None:
        """Takes in the next older value and its time."""
        if value > self._peak[0]:
            self._peak = (value, seconds)
        drawdown = 1.0 - value / self._peak[0]
        if self.count == 0 or drawdown > self._worst:
            self._worst = drawdown
            self._worst_peak, self._worst_trough = self._peak, (value, seconds)
        self.count += 1

    def summary(self) -> tuple[FloatArray, FloatArray]:
        """Values and times, in their order, that have the same drawdown and the same peak."""
        points = sorted({self._worst_peak, self._worst_trough, self._peak}, key=lambda at: at[1])
        values, seconds = zip(*points, strict=True)
        return np.array(values), np.array(seconds)
