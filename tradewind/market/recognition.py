"""Which market a series of bars comes from, told by when there are bars and when there are none.

A calendar is taken only where the bars agree with it: with its hours (no bars outside them, the
first and the last bar of its days there) and with its holidays. What has nights or week-ends but
agrees with no calendar gets the weekly pattern of the bars themselves, which knows no holidays;
what has no such pattern either is refused. A hole that does not come back every day or every week
is an outage of the source: a market that never closes stays one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import MarketDataError
from tradewind.market.calendars import FX_WEEK, market_named
from tradewind.market.sessions import ALWAYS_OPEN, DAY_NS, Market, Sessions
from tradewind.market.weekly_pattern import weekly_pattern

__all__ = ["recognise_market"]

# By how much is traded there: of calendars that fit equally well the first is taken. Those of
# other exchanges have to be named. Each calendar takes a fifth of a second to make: bars within
# the day are compared with those of their part of the world alone, told by the middle of their day
# (UTC).
_AMERICAS: Final = ("XNYS", "XTSE", "BVMF", "XMEX", "CMES")
_EUROPE: Final = (
    *("XLON", "XETR", "XPAR", "XSWX", "XJSE", "XSAU", "XSTO", "XMIL", "XMAD"),
    *("XWAR", "XIST", "XOSL", "XCSE", "XHEL"),
)
_ASIA: Final = (
    *("XTKS", "XHKG", "XSHG", "XBOM", "XASX", "XKRX", "XTAI", "XSES", "XNZE", "XIDX", "XKLS"),
    "XBKK",
)
_REGIONS: Final = ((8.0, _ASIA), (14.0, _EUROPE), (24.0, _AMERICAS))
_MAJOR: Final = ("XNYS", "XLON", "XTKS", "XHKG", "XSHG", "XETR", "XPAR", "XTSE")

_HOUR_NS: Final = DAY_NS // 24
_SHORTEST_DAILY_NS: Final = DAY_NS * 5 // 6
_LONGEST_DAILY_NS: Final = DAY_NS * 3 // 2
_MIN_SPAN_NS: Final = 2 * DAY_NS
_WEEK_NS: Final = 7 * DAY_NS
# In less, outages may have taken the same day of every week.
_RESTS_SPAN_NS: Final = 6 * _WEEK_NS

# Of what a time of the day (or a weekday) of an open market has: below, it counts as closed.
_CLOSED_BELOW: Final = 0.05
_WEEKEND_BELOW: Final = 0.1
# A wrong exchange of the same hours differs on some eight holidays a year in each direction, which
# gives 0.97.
_MIN_DAYS_FIT: Final = 0.975
_MIN_INSIDE: Final = 0.98
_MIN_EDGES: Final = 0.5
# No two calendars of different holidays agree for as long.
_DECISIVE_SPAN_NS: Final = 300 * DAY_NS


@dataclass(frozen=True)
class _Fit:
    """How well a market's calendar and bars agree.

    Attributes:
        days: Harmonic mean of the share of bars' days that the calendar has and of the calendar's
            days that have bars.
        inside: Share of the bars within its hours.
        edges: Share of its days that begin and end with the bars of its opening and its close;
            the smaller of the two.
    """

    days: float
    inside: float
    edges: float

    @property
    def is_good(self) -> bool:
        return (
            self.days >= _MIN_DAYS_FIT and self.inside >= _MIN_INSIDE and self.edges >= _MIN_EDGES
        )


def recognise_market(timestamps_ns: NDArray[np.int64], interval_ns: int) -> Market:
    """The market that bars come from; `Market.said` says it in one line.

    Args:
        timestamps_ns: Starts of the bars, increasing, nanoseconds since the epoch. Shape [n].
        interval_ns: Length of a bar.

    Returns:
        A market that never closes, the week of foreign exchange, an exchange, or a weekly pattern
        without holidays. Series that are too short to show a night or a week-end are taken to be
        of a market that never closes.

    Raises:
        MarketDataError: There are sessions, and neither a calendar nor a weekly pattern fits.
        ImportError: There are sessions, and exchange-calendars is not installed.
    """
    times = np.asarray(timestamps_ns, dtype=np.int64)
    if interval_ns <= 0:
        raise MarketDataError(f"interval_ns must be positive, not {interval_ns}")
    said = _never_closes(times, interval_ns)
    if said:
        return replace(ALWAYS_OPEN, said=f"always-open: {said}")
    fitting = sorted(_fits(times, interval_ns), key=lambda found: -found[1].days)
    if fitting:
        market, fit = fitting[0]
        others = [other.name for other, its in fitting[1:] if its.days == fit.days]
        also = f"; {', '.join(others)} fit equally well" if others else ""
        return replace(
            market, said=f"{market.name}: its calendar fits {fit.days:.1%} of the days{also}"
        )
    pattern = weekly_pattern(times, interval_ns)
    if pattern is None and not _closed_hours(times, interval_ns):
        return replace(ALWAYS_OPEN, said="always-open: assumed, its holes do not come back")
    if pattern is None:
        raise MarketDataError(
            "the bars have nights or week-ends that fit no market's calendar and no weekly "
            'pattern; say which market it is, such as market="XNYS" (see docs/guides/markets.md)'
        )
    return replace(
        pattern, said=f"{pattern.name}: no known calendar fits; a pattern without holidays"
    )


def _never_closes(times: NDArray[np.int64], interval_ns: int) -> str:
    """Why the market is taken to be always open; "" where it is not."""
    if times.size < 2:
        return "a single bar shows no sessions"
    if interval_ns > _LONGEST_DAILY_NS:
        return "bars of several days show no sessions"
    span = int(times[-1] - times[0]) + interval_ns
    daily = interval_ns >= _SHORTEST_DAILY_NS
    if span < (_WEEK_NS if daily else _MIN_SPAN_NS):
        return f"assumed, {times.size} bars are too few to show nights or week-ends"
    if not daily and _closed_hours(times, interval_ns):
        return ""
    weekend = _weekend_share(times)
    rests = span >= _RESTS_SPAN_NS and _rests_a_day(times)
    if weekend >= _WEEKEND_BELOW and not rests:
        return "there are bars at all times of the week"
    if span < _WEEK_NS and not _spans_weekend(times, interval_ns):
        return f"assumed, {times.size} bars are too few to show week-ends"
    return ""


def _closed_hours(times: NDArray[np.int64], interval_ns: int) -> bool:
    """Whether there are times of the day that (almost) never have a bar."""
    bins = int(DAY_NS // max(interval_ns, _HOUR_NS))
    hours = (times % DAY_NS) * bins // DAY_NS
    days = times // DAY_NS
    # Days with a bar in each part of the day: outages take whole days from all of them alike.
    seen = np.bincount(np.unique(days * bins + hours) % bins, minlength=bins)
    return bool(seen.min() < _CLOSED_BELOW * seen.max()) and int(seen.max()) >= 2


def _weekend_share(times: NDArray[np.int64]) -> float:
    """Bars on a day of the two least busy weekdays, as a share of those of the other days."""
    # The epoch was a Thursday.
    counts = np.sort(np.bincount((times // DAY_NS + 3) % 7, minlength=7)) / np.array(
        [2.0] * 2 + [5.0] * 5
    )
    busy = float(counts[2:].sum())
    return float(counts[:2].sum()) / busy if busy else 0.0


def _rests_a_day(times: NDArray[np.int64]) -> bool:
    """Whether one day of the week (almost) never has a bar, as where a week begins on Sunday."""
    counts = np.bincount((times // DAY_NS + 3) % 7, minlength=7)
    return bool(counts.min() < _CLOSED_BELOW * np.median(counts))


def _spans_weekend(times: NDArray[np.int64], interval_ns: int) -> bool:
    return bool(np.any(np.diff(times) > 40 * _HOUR_NS + interval_ns))


def _fits(times: NDArray[np.int64], interval_ns: int) -> Iterator[tuple[Market, _Fit]]:
    span = int(times[-1] - times[0])
    for name in _candidates(times, interval_ns):
        try:
            market = market_named(name)
            fit = _fit(market, times, interval_ns)
        except (MarketDataError, ValueError):
            continue  # The calendar does not go as far as the bars, or cannot be made.
        if fit.is_good:
            yield market, fit
            if fit.days == 1.0 and span >= _DECISIVE_SPAN_NS:
                return


def _candidates(times: NDArray[np.int64], interval_ns: int) -> tuple[str, ...]:
    if interval_ns >= _SHORTEST_DAILY_NS:
        is_long = times[-1] - times[0] >= _DECISIVE_SPAN_NS
        return (*((*_AMERICAS, *_EUROPE, *_ASIA) if is_long else _MAJOR), FX_WEEK)
    angles = 2.0 * np.pi * (times % DAY_NS) / DAY_NS
    middle = float(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean()) / (2.0 * np.pi)) % 1.0
    return (FX_WEEK, *next(names for until, names in _REGIONS if middle * 24.0 < until))


def _fit(market: Market, times: NDArray[np.int64], interval_ns: int) -> _Fit:
    sessions = market.sessions
    assert sessions is not None
    market.trading_days(times[[0, -1]])  # Refuses what the calendar does not cover.
    if interval_ns >= _SHORTEST_DAILY_NS:
        # Whatever time of the day they are stamped with, bars of one calendar fall on one session
        # each.
        owners = np.searchsorted(sessions.closes_ns, times, side="right")
        return _Fit(_days_fit(np.unique(owners), times.size), 1.0, 1.0)
    runs = np.searchsorted(sessions.run_closes_ns, times, side="right")
    inside = sessions.run_opens_ns[runs] < times + interval_ns
    if not inside.any():
        return _Fit(0.0, 0.0, 0.0)
    owners = np.searchsorted(sessions.closes_ns, times[inside], side="right")
    traded, firsts = np.unique(owners, return_index=True)
    lasts = np.r_[firsts[1:], owners.size] - 1
    outside_days = np.setdiff1d(times[~inside] // DAY_NS, times[inside] // DAY_NS)
    return _Fit(
        days=_days_fit(traded, traded.size + outside_days.size),
        inside=float(inside.mean()),
        edges=_edges(sessions, traded, times[inside][firsts], times[inside][lasts], interval_ns),
    )


def _days_fit(traded: NDArray[np.intp], bar_days: int) -> float:
    expected = int(traded[-1] - traded[0]) + 1
    return 2.0 * traded.size / (bar_days + expected)


def _edges(
    sessions: Sessions,
    traded: NDArray[np.intp],
    firsts_ns: NDArray[np.int64],
    lasts_ns: NDArray[np.int64],
    interval_ns: int,
) -> float:
    tolerance = max(interval_ns, _HOUR_NS // 12)
    at_open = firsts_ns < sessions.opens_ns[traded] + tolerance
    at_close = lasts_ns + interval_ns > sessions.closes_ns[traded] - tolerance
    # The series may begin and end within a session.
    if traded.size > 2:
        at_open, at_close = at_open[1:], at_close[:-1]
    return float(min(at_open.mean(), at_close.mean()))
