"""A panel: the bars of several symbols over the same intervals."""

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Self, TypeAlias, TypeVar

import numpy as np

from tradewind.errors import MarketDataError
from tradewind.market.bars import Bar, Bars, TimestampArray, format_time
from tradewind.market.losses import losses_of
from tradewind.market.sessions import Market

__all__ = ["BarAligner", "BarPanel", "BarSeries", "series_of", "split_bars"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class BarPanel:
    """Bars of several symbols that begin at the same times; immutable.

    Attributes:
        series: The bars of each symbol, in the order in which a policy sees and trades them.
        losses: What `align` left out, in sentences; empty where nothing was.

    Raises:
        MarketDataError: There are fewer than two symbols, one stands there twice, or the bars
            differ in length or times, or are of different markets by name.
    """

    series: tuple[Bars, ...]
    losses: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if len(self.series) < 2:
            raise MarketDataError(f"a panel needs two symbols or more, not {list(self.symbols)}")
        _refuse_repetitions(self.symbols)
        first, *others = self.series
        _check_lengths(self.series)
        for bars in others:
            if not np.array_equal(bars.timestamps_ns, first.timestamps_ns):
                raise MarketDataError(_first_difference(first, bars))
        markets = {bars.given_market.name: bars for bars in self.series if bars.given_market}
        if len(markets) > 1:
            named = ", ".join(f"{bars.symbol} {name}" for name, bars in markets.items())
            raise MarketDataError(f"the bars of a panel are of one market, not of: {named}")

    @classmethod
    def align(cls, series: Sequence[Bars], *, log: bool = True) -> Self:
        """Keeps the bars that every symbol has; a bar that one of them lacks is left out for all.

        What is lost is in `losses` and in the log, by symbol and date: as a warning where some
        symbol keeps less than 95 % of its bars.

        Args:
            series: The bars of each symbol, in the order of the panel.
            log: False leaves it to the caller to say what is lost.

        Raises:
            MarketDataError: No bar is left, or as the constructor says.
        """
        if len(series) < 2:
            raise MarketDataError("a panel needs the bars of two symbols or more")
        _check_lengths(series)
        shared = reduce(np.intersect1d, (bars.timestamps_ns for bars in series))
        if not len(shared):
            spans = ", ".join(
                f"{bars.symbol} {format_time(bars.timestamps_ns[0])} to "
                f"{format_time(bars.timestamps_ns[-1])}"
                for bars in series
            )
            raise MarketDataError(f"the symbols have no bar in common: {spans}")
        losses = losses_of(series, shared)
        # Of a listing that begins late there may be too few bars to tell their market.
        longest = max(series, key=lambda bars: bars.timestamps_ns[-1] - bars.timestamps_ns[0])
        of_market = next((bars for bars in series if bars.given_market), longest)
        panel = cls(tuple(_pick(bars, shared, of_market) for bars in series), losses.lines)
        if losses.lines and log:
            level = logging.WARNING if losses.is_large else logging.INFO
            _logger.log(level, "panel of %s: %s", panel.symbol, "; ".join(losses.lines))
        return panel

    def __len__(self) -> int:
        return len(self.timestamps_ns)

    def __repr__(self) -> str:
        return f"BarPanel({', '.join(self.symbols)}: {self.series[0]!r})"

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is traded, in order."""
        return tuple(bars.symbol for bars in self.series)

    @property
    def symbol(self) -> str:
        """The symbols in one string, for people."""
        return ", ".join(self.symbols)

    @property
    def interval_ns(self) -> int:
        """Length of a bar in nanoseconds."""
        return self.series[0].interval_ns

    @property
    def market(self) -> Market:
        """The market that the bars are of: the one given for any of them, or else recognised.

        Raises:
            MarketDataError: As `Bars.market` says.
            ImportError: As `Bars.market` says.
        """
        given = (bars.given_market for bars in self.series if bars.given_market)
        return next(given, None) or self.series[0].market

    @property
    def periods_per_year(self) -> float:
        """Bars in a year of their market."""
        return self.market.periods_per_year(self.interval_ns)

    @property
    def timestamps_ns(self) -> TimestampArray:
        """Start of each bar, nanoseconds since the epoch (UTC). Shape [n]."""
        return self.series[0].timestamps_ns

    @property
    def close_times_ns(self) -> TimestampArray:
        """When each bar is known, nanoseconds since the epoch. Shape [n]."""
        return self.series[0].close_times_ns

    def slice(self, start: int, stop: int) -> "BarPanel":
        """The bars from `start` up to, not including, `stop`, sharing this object's memory.

        Raises:
            MarketDataError: 0 ≤ start < stop ≤ len(self) does not hold.
        """
        return BarPanel(tuple(bars.slice(start, stop) for bars in self.series))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the digests of the series, in order."""
        lines = ["tradewind.panel.v1", *(bars.digest for bars in self.series)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class BarAligner:
    """What `BarPanel.align` keeps, bar by bar: only a bar that every symbol has counts.

    Args:
        symbols: Whose bars, each once, in the order of the panel.

    Raises:
        MarketDataError: A symbol stands there twice.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = tuple(symbols)
        _refuse_repetitions(self._symbols)
        self._waiting: dict[int, dict[str, Bar]] = {}

    def add(self, symbol: str, bar: Bar) -> tuple[Bar, ...] | None:
        """Takes in the next bar of one symbol.

        Returns:
            The bars of all symbols that start with it, in their order, when it is the last of
            them; each symbol's bars come in the order of their times.
        """
        bars = self._waiting.setdefault(bar.timestamp_ns, {})
        bars[symbol] = bar
        if len(bars) < len(self._symbols):
            return None
        # An older bar that still waits is one that another symbol has passed over.
        self._waiting = {at: it for at, it in self._waiting.items() if at > bar.timestamp_ns}
        return tuple(bars[each] for each in self._symbols)

    def forget_before(self, start_ns: int) -> None:
        """Waits no longer for what starts before this time."""
        self._waiting = {at: it for at, it in self._waiting.items() if at >= start_ns}


BarSeries: TypeAlias = Bars | BarPanel
"""The bars of one symbol, or of several."""
SeriesT = TypeVar("SeriesT", Bars, BarPanel, BarSeries)


def series_of(bars: BarSeries) -> tuple[Bars, ...]:
    """The bars of each symbol."""
    return bars.series if isinstance(bars, BarPanel) else (bars,)


def split_bars(bars: SeriesT, held_out_fraction: float) -> tuple[SeriesT, SeriesT]:
    """Splits bars in time: what a policy may learn from, and what it is judged on.

    Args:
        bars: The bars, of one symbol or several.
        held_out_fraction: Share of the bars, the latest ones, to hold out; between 0 and 1.

    Returns:
        The bars to train on and the held-out bars after them.

    Raises:
        MarketDataError: One of the two parts would be empty.
    """
    if not 0.0 < held_out_fraction < 1.0:
        raise MarketDataError(f"held_out_fraction must lie between 0 and 1: {held_out_fraction}")
    boundary = len(bars) - math.ceil(len(bars) * held_out_fraction)
    if boundary == 0:
        raise MarketDataError(f"{len(bars)} bar(s) of {bars.symbol} cannot be split in two")
    return bars.slice(0, boundary), bars.slice(boundary, len(bars))


def _refuse_repetitions(symbols: tuple[str, ...]) -> None:
    repeated = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
    if repeated:
        raise MarketDataError(f"each symbol may stand in a panel only once: {', '.join(repeated)}")


def _check_lengths(series: Sequence[Bars]) -> None:
    first, *others = series
    for bars in others:
        if bars.interval_ns != first.interval_ns:
            raise MarketDataError(
                f"bars of {bars.symbol} are {bars.interval_ns / 1e9:g} s long, those of "
                f"{first.symbol} {first.interval_ns / 1e9:g} s; Bars.resample makes longer ones"
            )


def _first_difference(first: Bars, other: Bars) -> str:
    count = min(len(first), len(other))
    differs = np.flatnonzero(first.timestamps_ns[:count] != other.timestamps_ns[:count])
    if not len(differs):
        return f"{first.symbol} has {len(first)} bars, {other.symbol} {len(other)}"
    row = int(differs[0])
    return (
        f"bar {row} of {first.symbol} starts at {format_time(first.timestamps_ns[row])}, that of "
        f"{other.symbol} at {format_time(other.timestamps_ns[row])}; BarPanel.align keeps those "
        "that all have"
    )


def _pick(bars: Bars, times: TimestampArray, of_market: Bars) -> Bars:
    """The bars of some times, which are of the market of another series."""
    if len(times) == len(bars):
        return bars if bars is of_market else bars.slice(0, len(bars)).of_whole(of_market)
    rows = np.searchsorted(bars.timestamps_ns, times)
    picked = Bars(
        bars.symbol,
        times,
        bars.open[rows],
        bars.high[rows],
        bars.low[rows],
        bars.close[rows],
        bars.volume[rows],
        bars.interval_ns,
        bars.given_market,
        adjustment=None if bars.adjustment is None else bars.adjustment[rows],
    )
    return picked.of_whole(of_market)
