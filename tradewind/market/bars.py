"""Bars: the open, high, low, close and volume of one symbol over equal intervals of time."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, VOLUME
from tradewind.errors import MarketDataError
from tradewind.market.checks import MAX_TIMESTAMP_NS, refusal, series_defects
from tradewind.market.reading import ADJUSTMENT, ReadOptions, Recognition
from tradewind.market.recognition import recognise_market
from tradewind.market.resampling import longer_bars
from tradewind.market.sessions import Market, format_time

__all__ = ["Bar", "Bars", "FloatArray", "Gap", "TimestampArray", "format_time"]

FloatArray = NDArray[np.float64]
TimestampArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of one symbol.

    Attributes:
        timestamp_ns: Start of the bar's interval, nanoseconds since the epoch (UTC). The bar is
            known only when it closes, one interval later.
        open: First price.
        high: Highest price.
        low: Lowest price.
        close: Last price.
        volume: Traded volume in units of the asset.
    """

    timestamp_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in a series of bars.

    Attributes:
        after: Index of the last bar before the hole.
        before: Index of the first bar after it, `after + 1`.
        missing_bar_count: How many bars the market had in between.
    """

    after: int
    before: int
    missing_bar_count: int


@dataclass(frozen=True, eq=False)
class Bars:
    """A series of valid bars of one symbol, oldest first; immutable.

    Timestamps are the start of each interval, the convention of exchange candles: a bar is known
    when it closes, at `timestamp + interval`, and whatever is decided on it trades at the open of
    the next bar at the earliest.

    Attributes:
        symbol: What is traded, e.g. "BTC".
        timestamps_ns: Start of each bar, nanoseconds since the epoch (UTC). Shape [n].
        open: First price of each bar. Shape [n].
        high: Highest price. Shape [n].
        low: Lowest price. Shape [n].
        close: Last price. Shape [n].
        volume: Traded volume in units of the asset. Shape [n].
        interval_ns: Length of a bar. 0 takes the median spacing of the timestamps (the lower one
            of two), which needs at least two bars.
        given_market: The market they are of; None recognises it when `market` is first asked for.
        recognised: How they were read, for bars from a file or a frame; pickling forgets it.
        adjustment: What prices were multiplied by, where they are adjusted for splits and
            dividends: features are built from adjusted prices, and fills are at traded ones, which
            are price / adjustment. None where they are as traded. Shape [n].

    Raises:
        MarketDataError: No bars, lengths that differ, times that do not increase, or a bar that
            is not possible (see `tradewind.market.checks`); the violations name rows and columns.
    """

    symbol: str
    timestamps_ns: TimestampArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    interval_ns: int = 0
    given_market: Market | None = field(default=None, repr=False)
    recognised: Recognition | None = field(default=None, repr=False, kw_only=True)
    adjustment: FloatArray | None = field(default=None, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        times = np.asarray(self.timestamps_ns)
        if times.dtype.kind != "i":
            raise MarketDataError(
                f"{self.symbol}: timestamps_ns must be signed integers, not {times.dtype}"
            )
        object.__setattr__(self, "timestamps_ns", _read_only(times.astype(np.int64, copy=False)))
        for name in (OPEN_PRICE, HIGH, LOW, CLOSE, VOLUME):
            column = np.asarray(getattr(self, name), dtype=np.float64)
            object.__setattr__(self, name, _read_only(column))
        if self.adjustment is not None:
            adjustment = np.asarray(self.adjustment, dtype=np.float64)
            object.__setattr__(self, "adjustment", _read_only(adjustment))
        self._check()
        if self.interval_ns == 0:
            spacings = np.diff(self.timestamps_ns)
            middle = (len(spacings) - 1) // 2
            spacings.partition(middle)
            object.__setattr__(self, "interval_ns", int(spacings[middle]))

    def _check(self) -> None:
        columns = self._columns()
        count = self.timestamps_ns.size
        if count == 0:
            raise MarketDataError(f"{self.symbol}: there are no bars")
        shapes = [column.shape for column in (self.timestamps_ns, *columns.values())]
        if any(shape != (count,) for shape in shapes):
            raise MarketDataError(
                f"{self.symbol}: every column must have the shape ({count},), not {shapes}"
            )
        found, defect_count = series_defects(self.timestamps_ns, columns)
        if found:
            raise refusal(self.symbol, found, defect_count)
        adjustment = self.adjustment
        if adjustment is not None and not (
            adjustment.shape == (count,) and (np.isfinite(adjustment) & (adjustment > 0.0)).all()
        ):
            raise MarketDataError(
                f"{self.symbol}: adjustment must be a positive number for each of the {count} bars"
            )
        smallest = 1 if count == 1 else 0
        if not smallest <= self.interval_ns <= 2 * MAX_TIMESTAMP_NS:
            raise MarketDataError(
                f"{self.symbol}: interval_ns must be positive, or 0 with at least two bars, "
                f"not {self.interval_ns}"
            )

    @classmethod
    def from_arrow(cls, table: Any, symbol: str, **options: Any) -> Self:
        """Bars from a pyarrow Table, or from what hands one over (`__arrow_c_stream__`).

        Args:
            table: Columns as in a file of bars.
            symbol: What is traded.
            options: Those of `load_bars`: columns, timestamp_unit, tz, order, dates, decimal and
                adjusted.

        Raises:
            MarketDataError: As `load_bars`; the violations name rows from 1.
            ImportError: pyarrow is not installed.
        """
        try:
            from tradewind.market.frames import owned, table_of
            from tradewind.market.tables import read_table
        except ModuleNotFoundError as missing:
            raise ImportError(
                "reading bars from frames needs: pip install 'tradewind[bars]'"
            ) from missing
        loaded = read_table(
            table_of(table), symbol, ReadOptions(symbol=symbol, **options), kind="a frame"
        )
        return cls(
            symbol,
            owned(loaded.timestamps_ns),
            owned(loaded.columns[OPEN_PRICE]),
            owned(loaded.columns[HIGH]),
            owned(loaded.columns[LOW]),
            owned(loaded.columns[CLOSE]),
            owned(loaded.columns[VOLUME]),
            recognised=loaded.recognition,
            adjustment=loaded.columns.get(ADJUSTMENT),
        )

    @classmethod
    def from_pandas(cls, frame: Any, symbol: str, **options: Any) -> Self:
        """Bars from a pandas DataFrame, whose index may hold the times; see `from_arrow`."""
        from tradewind.market.frames import with_index

        return cls.from_arrow(with_index(frame), symbol, **options)

    @classmethod
    def from_polars(cls, frame: Any, symbol: str, **options: Any) -> Self:
        """Bars from a polars DataFrame; see `from_arrow`."""
        return cls.from_arrow(frame, symbol, **options)

    def __len__(self) -> int:
        return len(self.timestamps_ns)

    def __repr__(self) -> str:
        return (
            f"Bars({self.symbol!r}, {len(self)} bars of {self.interval_ns / 1e9:g} s, "
            f"{format_time(self.timestamps_ns[0])} to {format_time(self.timestamps_ns[-1])})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # NumPy forgets that an array was read-only when it is pickled; the constructor does not.
        # A part may be too short to recognise the market of the whole.
        market = self.market if "_whole" in vars(self) else self.given_market
        columns = self._columns().values()
        made = (self.symbol, self.timestamps_ns, *columns, self.interval_ns, market)
        return _unpickled, (*made, self.adjustment)

    def _columns(self) -> dict[str, FloatArray]:
        return {
            OPEN_PRICE: self.open,
            HIGH: self.high,
            LOW: self.low,
            CLOSE: self.close,
            VOLUME: self.volume,
        }

    def bar(self, index: int) -> Bar:
        """The bar at an index; negative ones count from the end.

        Raises:
            IndexError: There is no such bar.
        """
        return Bar(
            timestamp_ns=int(self.timestamps_ns[index]),
            open=float(self.open[index]),
            high=float(self.high[index]),
            low=float(self.low[index]),
            close=float(self.close[index]),
            volume=float(self.volume[index]),
        )

    def slice(self, start: int, stop: int) -> "Bars":
        """The bars from `start` up to, not including, `stop`, sharing this object's memory.

        They are of the market of the whole series.

        Raises:
            MarketDataError: 0 ≤ start < stop ≤ len(self) does not hold.
        """
        if not 0 <= start < stop <= len(self):
            raise MarketDataError(
                f"{self.symbol}: no bars [{start}, {stop}) in a series of {len(self)}"
            )
        part = np.s_[start:stop]
        bars = Bars(
            self.symbol,
            self.timestamps_ns[part],
            self.open[part],
            self.high[part],
            self.low[part],
            self.close[part],
            self.volume[part],
            self.interval_ns,
            self.given_market,
            recognised=self.recognised,
            adjustment=None if self.adjustment is None else self.adjustment[part],
        )
        return bars.of_whole(self)

    def of_whole(self, whole: Self) -> Self:
        """These bars, as some of a series: of its market, for which they may be too few."""
        vars(self)["_whole"] = vars(whole).get("_whole", whole)
        return self

    def resample(self, length: str | int) -> "Bars":
        """Bars of a longer interval: first open, highest high, lowest low, last close, all volume.

        A longer bar is labelled with its start and does not cross the close of a session: in
        sessions they follow each other from the opening (or from the first bar that straddles it),
        and the last one of a session ends with it. A day is a session, labelled with its opening.
        Where the market never closes, they begin at multiples of their length after midnight (UTC).

        A longer bar that the series begins or ends within is left out; one that lacks bars within
        it is kept and counted, as are bars outside the hours of the market, which are left out. All
        that is said in `recognised`.

        Args:
            length: Of the longer bars: text such as "30min", or nanoseconds.

        Raises:
            MarketDataError: The length is shorter than that of the bars, no multiple of it, longer
                than a day, or does not divide a day of a market that never closes; or nothing is
                left.
        """
        longer = longer_bars(self, length)
        adjustment = self.adjustment
        return Bars(
            self.symbol,
            longer.timestamps_ns,
            longer.open,
            longer.high,
            longer.low,
            longer.close,
            longer.volume,
            longer.interval_ns,
            self.market,
            recognised=longer.recognised,
            adjustment=None if adjustment is None else adjustment[longer.last_rows],
        )

    def traded(self, prices: FloatArray) -> FloatArray:
        """Prices of these bars as they were traded: without the adjustment. Shape [n]."""
        return prices if self.adjustment is None else prices / self.adjustment

    def gaps(self) -> tuple[Gap, ...]:
        """Where bars are missing that their market had: reported, never filled.

        A night or a holiday is no gap. Where the market cannot be recognised every interval counts.
        """
        spacings = np.diff(self.timestamps_ns)
        wide = np.flatnonzero(spacings > self.interval_ns).tolist()
        times = self.timestamps_ns
        try:
            missing = [
                self.market.missing_bars(int(times[at]), int(times[at + 1]), self.interval_ns)
                for at in wide
            ]
        except (MarketDataError, ImportError):
            missing = [int(-(-spacings[at] // self.interval_ns)) - 1 for at in wide]
        return tuple(
            Gap(at, at + 1, count) for at, count in zip(wide, missing, strict=True) if count
        )

    @cached_property
    def market(self) -> Market:
        """The market that the bars are of: the given one, or the one recognised from the bars.

        Raises:
            MarketDataError: There are sessions, and neither a calendar nor a weekly pattern fits.
            ImportError: There are sessions, and exchange-calendars is not installed.
        """
        if self.given_market is not None:
            return self.given_market
        whole: Bars | None = vars(self).get("_whole")
        if whole is not None:
            return whole.market
        try:
            return recognise_market(self.timestamps_ns, self.interval_ns)
        except MarketDataError as problem:
            raise MarketDataError(f"{self.symbol}: {problem}") from None

    @property
    def periods_per_year(self) -> float:
        """Bars in a year of their market."""
        return self.market.periods_per_year(self.interval_ns)

    @cached_property
    def close_times_ns(self) -> TimestampArray:
        """When each bar is known, nanoseconds since the epoch. Shape [n]."""
        return _read_only(self.timestamps_ns + self.interval_ns)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over symbol, interval and the little-endian bytes of every column."""
        header = f"tradewind.bars.v1\n{self.symbol}\n{self.interval_ns}\n{len(self)}\n"
        sha256 = hashlib.sha256(header.encode())
        sha256.update(self.timestamps_ns.astype("<i8").tobytes())
        for column in self._columns().values():
            sha256.update(column.astype("<f8").tobytes())
        if self.adjustment is not None:
            sha256.update(b"adjustment" + self.adjustment.astype("<f8").tobytes())
        return sha256.hexdigest()


def _unpickled(*made: Any) -> Bars:
    *columns, adjustment = made
    return Bars(*columns, adjustment=adjustment)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself if it is read-only and contiguous, else a copy that is."""
    if array.flags.writeable or not array.flags.c_contiguous:
        array = array.copy()
        array.setflags(write=False)
    return array
