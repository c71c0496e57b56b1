"""Longer bars out of shorter ones, within the sessions of their market."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import MarketDataError
from tradewind.market.reading import Recognition
from tradewind.market.sessions import DAY_NS, Market, Sessions, format_time

__all__ = ["Longer", "length_ns", "longer_bars"]

_LENGTH: Final = re.compile(r"(?P<count>\d{0,6}) *(?P<unit>s|sec|m|min|h|hour|d|day)s?")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_CONVENTION: Final = "labelled with its start, which belongs to it; its end does not"

Times = NDArray[np.int64]
Column = NDArray[np.float64]


class _Series(Protocol):
    """What of `Bars` is needed here, which cannot be imported: it calls this."""

    @property
    def symbol(self) -> str: ...
    @property
    def timestamps_ns(self) -> Times: ...
    @property
    def close_times_ns(self) -> Times: ...
    @property
    def open(self) -> Column: ...
    @property
    def high(self) -> Column: ...
    @property
    def low(self) -> Column: ...
    @property
    def close(self) -> Column: ...
    @property
    def volume(self) -> Column: ...
    @property
    def interval_ns(self) -> int: ...
    @property
    def market(self) -> Market: ...
    @property
    def recognised(self) -> Recognition | None: ...


@dataclass(frozen=True, eq=False)
class Longer:
    """Columns of the longer bars, as those of `Bars`, and what was done to make them."""

    timestamps_ns: Times
    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column
    interval_ns: int
    recognised: Recognition
    last_rows: NDArray[np.intp]
    """The bar that ends each longer one."""


@dataclass(frozen=True, eq=False)
class _Bins:
    """To which longer bar each bar belongs. Shape [n] each.

    Attributes:
        starts: Start of that bar.
        ends: Its end: where its session closes before it would end, the close.
        inside: Whether the market trades during the bar at all.
    """

    starts: Times
    ends: Times
    inside: NDArray[np.bool_]


def length_ns(text: str) -> int:
    """The length of a bar that a text says, such as "30min", "1h" or "1d", in nanoseconds.

    Raises:
        MarketDataError: It says none.
    """
    found = _LENGTH.fullmatch(text.strip().lower())
    count = int((found and found["count"]) or 1) if found else 0
    if found is None or count == 0:
        raise MarketDataError(f"a length of bars is such as 30min, 1h or 1d, not {text!r}")
    return count * _UNITS_S[found["unit"][0]] * 10**9


def longer_bars(bars: _Series, length: str | int) -> Longer:
    """The columns of longer bars; see `Bars.resample`.

    Raises:
        MarketDataError: As `Bars.resample` says.
    """
    long_ns = length if isinstance(length, int) else length_ns(length)
    market = bars.market
    _check_length(bars, long_ns, market)
    notes = [f"resampled from {bars.interval_ns / 1e9:g} s to {long_ns / 1e9:g} s, {_CONVENTION}"]
    bins = _bins(bars, long_ns, market)
    kept, said = _kept_rows(bars, bins)
    notes += said
    if not kept.any():
        raise MarketDataError(
            f"{bars.symbol}: no whole bar of {long_ns / 1e9:g} s is in them: {'; '.join(notes)}"
        )
    starts, ends = bins.starts[kept], bins.ends[kept]
    firsts = np.flatnonzero(np.r_[True, starts[1:] != starts[:-1]])
    lasts = np.r_[firsts[1:], starts.size] - 1
    notes += _said_of_lengths(bars, starts, ends, firsts, lasts, long_ns)
    return Longer(
        starts[firsts],
        bars.open[kept][firsts],
        np.maximum.reduceat(bars.high[kept], firsts),
        np.minimum.reduceat(bars.low[kept], firsts),
        bars.close[kept][lasts],
        np.add.reduceat(bars.volume[kept], firsts),
        long_ns,
        _recognised(bars, firsts.size, notes),
        np.flatnonzero(kept)[lasts],
    )


def _check_length(bars: _Series, long_ns: int, market: Market) -> None:
    short_ns = bars.interval_ns
    asked = f"{bars.symbol}: bars of {short_ns / 1e9:g} s cannot become bars of {long_ns / 1e9:g} s"
    if long_ns < short_ns:
        raise MarketDataError(f"{asked}: what happened within a bar is not known")
    if long_ns > DAY_NS:
        raise MarketDataError(f"{asked}: a day is the longest length")
    if long_ns % short_ns and not (market.sessions and market.is_daily(long_ns)):
        raise MarketDataError(f"{asked}: it must be a multiple of their length")
    if market.sessions is None and DAY_NS % long_ns:
        raise MarketDataError(f"{asked}: where the market never closes, it must divide a day")


def _bins(bars: _Series, long_ns: int, market: Market) -> _Bins:
    times, short_ns = bars.timestamps_ns, bars.interval_ns
    sessions = market.sessions
    if sessions is None:
        starts = times // long_ns * long_ns
        return _Bins(starts, starts + long_ns, np.ones(times.size, dtype=np.bool_))
    market.trading_days(times[[0, -1]])  # refuses what the calendar does not cover
    if market.is_daily(short_ns):
        return _Bins(times, times + short_ns, np.ones(times.size, dtype=np.bool_))
    runs = np.searchsorted(sessions.run_closes_ns, times, side="right")
    inside = times + short_ns > sessions.run_opens_ns[runs]
    if market.is_daily(long_ns):
        days = np.searchsorted(sessions.closes_ns, times, side="right")
        return _Bins(sessions.opens_ns[days], sessions.closes_ns[days], inside)
    anchors = _first_starts(sessions, runs, times, short_ns)
    starts = anchors + (times - anchors) // long_ns * long_ns
    return _Bins(starts, np.minimum(starts + long_ns, sessions.run_closes_ns[runs]), inside)


def _first_starts(sessions: Sessions, runs: NDArray[np.intp], times: Times, short_ns: int) -> Times:
    """Where the first bar of each bar's run starts: at the opening, or on the bars' own grid."""
    opens = sessions.run_opens_ns[runs]
    phase = (times - opens) % short_ns
    if np.count_nonzero(phase) * 2 < phase.size:
        return opens
    grid = opens - (opens - times) % short_ns
    # A pause within a bar: the bar is that of the run before.
    before = np.where(runs > 0, sessions.run_closes_ns[runs - 1], opens - DAY_NS)
    return np.where(grid < before, grid + short_ns, grid)


def _kept_rows(bars: _Series, bins: _Bins) -> tuple[NDArray[np.bool_], list[str]]:
    """Which bars take part, and what is said of the others."""
    kept = bins.inside.copy()
    notes = []
    outside = int(kept.size - np.count_nonzero(kept))
    if outside:
        notes.append(f"{outside:,} bar(s) outside the hours of {bars.market.name}: left out")
    rows = np.flatnonzero(kept)
    if rows.size:
        first, last = int(rows[0]), int(rows[-1])
        # Bars on a grid of their own may begin before the opening, and end after the close.
        if bars.timestamps_ns[first] >= bins.starts[first] + bars.interval_ns:
            kept &= bins.starts != bins.starts[first]
            notes.append(_partial("first", bins.starts[first], "begin", bars.timestamps_ns[first]))
        if bars.close_times_ns[last] < bins.ends[last]:
            kept &= bins.starts != bins.starts[last]
            notes.append(_partial("last", bins.starts[last], "end", bars.close_times_ns[last]))
    return kept, notes


def _partial(which: str, start_ns: int, verb: str, at_ns: int) -> str:
    return (
        f"the {which} bar, of {format_time(start_ns)}, is left out: the bars {verb} at "
        f"{format_time(at_ns)}, within it"
    )


def _said_of_lengths(
    bars: _Series,
    starts: Times,
    ends: Times,
    firsts: NDArray[np.intp],
    lasts: NDArray[np.intp],
    long_ns: int,
) -> Iterator[str]:
    counts = lasts - firsts + 1
    spans = ends[firsts] - starts[firsts]
    sessions = bars.market.sessions
    pauses = 0 if sessions is None else _pauses_ns(sessions, starts[firsts], ends[firsts])
    lacking = counts < -(-(spans - pauses) // bars.interval_ns)
    if lacking.any():
        first = format_time(starts[firsts][lacking][0])
        yield (
            f"{np.count_nonzero(lacking):,} bar(s) lack bars within them and are kept, the first "
            f"of {first}"
        )
    short = spans < long_ns
    if short.any() and not bars.market.is_daily(long_ns):
        yield f"{np.count_nonzero(short):,} bar(s) end with their session before their length"


def _pauses_ns(sessions: Sessions, starts: Times, ends: Times) -> Times:
    """How long the market pauses between two times, as at lunch. Shape [n]."""
    lengths = sessions.run_opens_ns[1:] - sessions.run_closes_ns[:-1]
    until = np.concatenate([[0], np.cumsum(lengths)])
    first = np.searchsorted(sessions.run_closes_ns, starts, side="right")
    last = np.searchsorted(sessions.run_closes_ns, ends, side="left")
    pauses: Times = until[last] - until[first]
    return pauses


def _recognised(bars: _Series, count: int, notes: list[str]) -> Recognition:
    before = bars.recognised
    if before is None:
        return Recognition(bars.symbol, "bars in memory", {}, "as they are", tuple(notes), count)
    return Recognition(
        before.source, before.form, before.columns, before.times, (*before.notes, *notes), count
    )
