"""From bars and position to observations: a whole series at once, or bar by bar."""

import math

import numpy as np

from tradewind.errors import FieldViolation, MarketDataError, ObservationError, UnavailableError
from tradewind.market.accounting import PositionState
from tradewind.market.bars import Bar, Bars, FloatArray, TimestampArray, format_time
from tradewind.market.checks import MAX_TIMESTAMP_NS, TIME_RULE, bar_violations
from tradewind.market.feature_group import BarWindow
from tradewind.market.feature_kernels import (
    ObservationArray,
    write_market_row,
    write_market_rows,
    write_position_row,
)
from tradewind.market.features import FeatureSpec
from tradewind.market.group_runner import GroupRunner

__all__ = ["FeaturePipeline"]

_COLUMN_COUNT = 4  # high, low, close, volume


class FeaturePipeline:
    """Builds observations; both ways run the same kernel on the same windows: the same bits.

    Args:
        spec: What an observation is made of.
    """

    def __init__(self, spec: FeatureSpec | None = None) -> None:
        self.spec = spec or FeatureSpec()
        self._lookback = self.spec.lookback
        self._market_size = self.spec.market_size
        self._observation_size = self.spec.observation_size
        self._parameters = self.spec.market_parameters
        self._interval_ns = self.spec.interval_ns
        self._groups = GroupRunner(self.spec.groups, self.spec.clip) if self.spec.groups else None
        # Every bar is written twice, `lookback` places apart, so that the last `lookback` bars
        # always lie side by side somewhere.
        self._ring: FloatArray = np.empty((_COLUMN_COUNT, 2 * self._lookback), dtype=np.float64)
        self._window = self._ring.view()
        self._window.setflags(write=False)
        # What groups see beside these.
        self._opens: FloatArray = np.empty(2 * self._lookback, dtype=np.float64)
        self._times: TimestampArray = np.empty(2 * self._lookback, dtype=np.int64)
        self._bar_count = 0
        self._last_timestamp_ns: int | None = None

    def transform(self, bars: Bars, *, as_it_was: bool = False) -> ObservationArray:
        """The market part of the observation after each bar of a series.

        Args:
            bars: The series.
            as_it_was: A group that fails leaves its numbers NaN, as it did in production.

        Returns:
            One row per bar. The first `lookback - 1` have too few bars behind them and are NaN:
            there is no observation there. Shape [len(bars), market_size], float32.

        Raises:
            MarketDataError: The bars are of another length than the specification's, overlap, or
                are fewer than the lookback.
            ComponentError: A group of the specification fails on them.
        """
        if bars.interval_ns != self._interval_ns:
            raise MarketDataError(
                f"{bars.symbol} has bars of {bars.interval_ns / 1e9:g} s; the feature "
                f"specification is for bar_seconds = {self.spec.bar_seconds:g}"
            )
        overlaps = np.flatnonzero(np.diff(bars.timestamps_ns) < bars.interval_ns)
        if overlaps.size:
            raise MarketDataError(
                f"{bars.symbol} has {overlaps.size} bar(s) that start before the bar before them "
                f"has closed, the first in row {overlaps[0] + 2}"
            )
        if len(bars) < self._lookback:
            raise MarketDataError(
                f"{len(bars)} bars of {bars.symbol} are too few: one observation looks at "
                f"{self._lookback}"
            )
        rows: ObservationArray = np.empty((len(bars), self._market_size), dtype=np.float32)
        write_market_rows(
            bars.timestamps_ns,
            bars.high,
            bars.low,
            bars.close,
            bars.volume,
            self._lookback,
            self._parameters,
            rows,
        )
        if self._groups is not None:
            own = rows[:, -self._groups.size :]
            if as_it_was:
                self._groups.write_what_there_is(bars, self._lookback, own)
            else:
                self._groups.write_rows(bars, own)
            rows[: self._lookback - 1] = np.nan
        return rows

    def update(self, bar: Bar) -> None:
        """Takes in the next closed bar; a gap before it is allowed.

        Raises:
            MarketDataError: As `check` says; the pipeline is unchanged.
        """
        self.check(bar)
        place = self._bar_count % self._lookback
        column = (bar.high, bar.low, bar.close, bar.volume)
        self._ring[:, place] = column
        self._ring[:, place + self._lookback] = column
        if self._groups is not None:
            self._times[place :: self._lookback] = bar.timestamp_ns
            self._opens[place :: self._lookback] = bar.open
        self._bar_count += 1
        self._last_timestamp_ns = bar.timestamp_ns

    def check(self, bar: Bar) -> None:
        """Looks whether a bar may be taken in.

        Raises:
            MarketDataError: It is impossible, or starts before the last one has closed (out of
                order, repeated, or of another length).
        """
        violations = bar_violations(
            float(bar.open), float(bar.high), float(bar.low), float(bar.close), float(bar.volume)
        )
        last = self._last_timestamp_ns
        if abs(bar.timestamp_ns) > MAX_TIMESTAMP_NS:
            violations.append(FieldViolation("timestamp", TIME_RULE))
        elif last is not None and bar.timestamp_ns < last + self._interval_ns:
            violations.append(
                FieldViolation(
                    "timestamp",
                    f"starts before the bar of {format_time(last)} has closed "
                    f"(bars of {self.spec.bar_seconds:g} s)",
                )
            )
        if violations:
            raise MarketDataError(f"bar of {bar.timestamp_ns} ns is refused", violations)

    @property
    def ready(self) -> bool:
        """Whether there are enough bars for an observation."""
        return self._bar_count >= self._lookback

    def observation(self, position: PositionState) -> ObservationArray:
        """The observation after the last bar.

        Args:
            position: The position; not looked at if the specification leaves it out.

        Returns:
            A new array. Shape [observation_size], float32.

        Raises:
            UnavailableError: There are fewer than `lookback` bars so far.
            ObservationError: The position is not a number, or a group of the specification fails.
        """
        row: ObservationArray = np.empty(self._observation_size, dtype=np.float32)
        self.write_market(row[: self._market_size])
        if self.spec.position:
            self.write_position(position, row[self._market_size :])
        return row

    def write_market(self, out: ObservationArray) -> None:
        """Writes the market part of the observation after the last bar. Shape [market_size].

        Raises:
            UnavailableError: There are fewer than `lookback` bars so far.
            ObservationError: A group of the specification fails; its numbers are NaN then.
        """
        if self._last_timestamp_ns is None or not self.ready:
            raise UnavailableError(f"only {self._bar_count} of {self._lookback} bars seen so far")
        start = self._bar_count % self._lookback
        high, low, close, volume = self._window[:, start : start + self._lookback]
        write_market_row(self._last_timestamp_ns, high, low, close, volume, self._parameters, out)
        if self._groups is not None:
            times = self._times[start : start + self._lookback]
            opens = self._opens[start : start + self._lookback]
            for own in (times, opens):
                own.setflags(write=False)
            given = BarWindow(times, opens, high, low, close, volume)
            self._groups.write_row(given, out[-self._groups.size :])

    def write_position(self, position: PositionState, out: ObservationArray) -> None:
        """Writes the position part of an observation. Shape [POSITION_SIZE].

        Raises:
            ObservationError: The position is not a number.
        """
        if math.isnan(position.exposure) or math.isnan(position.unrealized_return):
            raise ObservationError(f"the position is not a number: {position}")
        write_position_row(
            position.exposure,
            position.unrealized_return,
            float(position.bars_held),
            self.spec.scale,
            self.spec.clip,
            self.spec.holding_cap_bars,
            out,
        )
