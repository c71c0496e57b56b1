"""The weekly pattern of a series of bars: on which days and at which hours there are any."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tradewind.market.calendars import MAX_PARTS, market_named, weekly_name
from tradewind.market.sessions import DAY_NS, Market

__all__ = ["weekly_pattern"]

# One zone for each way of changing clocks: none, American, European, Australian.
_ZONES: Final = ("UTC", "America/New_York", "Europe/London", "Australia/Sydney")
_MINUTE_NS: Final = DAY_NS // 1_440
_MINUTES: Final = 1_440

_SHORTEST_DAILY_NS: Final = DAY_NS * 5 // 6
_MIN_SPAN_NS: Final = 2 * DAY_NS
_MIN_FIT: Final = 0.9
_OPEN_ABOVE: Final = 0.5


def weekly_pattern(times: NDArray[np.int64], interval_ns: int) -> Market | None:
    """The weekly pattern that fits bars best; None where none does."""
    if int(times[-1] - times[0]) < _MIN_SPAN_NS:
        return None
    best: tuple[float, Market] | None = None
    for name in _names(times, interval_ns):
        market = market_named(name)
        fit = _agreement(market, times, interval_ns)
        if fit >= _MIN_FIT and (best is None or fit > best[0] + 1e-3):
            best = (fit, market)
    return None if best is None else best[1]


def _names(times: NDArray[np.int64], interval_ns: int) -> Iterator[str]:
    for zone in _ZONES:
        local = times + _offsets(times, ZoneInfo(zone))
        parts = _hours(local, interval_ns)
        if len(parts) > MAX_PARTS:
            continue
        days = (local - parts[0][0] * _MINUTE_NS) // DAY_NS
        yield weekly_name(zone, _weekdays(np.unique(days)), parts)


def _offsets(times: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int64]:
    """What to add to times to have the clock of a zone, by the day."""
    days, positions = np.unique(times // DAY_NS, return_inverse=True)
    offsets = [
        datetime.fromtimestamp(int(day) * 86_400 + 43_200, tz=UTC).astimezone(zone).utcoffset()
        for day in days
    ]
    seconds = [0 if offset is None else int(offset.total_seconds()) for offset in offsets]
    return np.array(seconds, dtype=np.int64)[positions] * 1_000_000_000


def _hours(local: NDArray[np.int64], interval_ns: int) -> list[tuple[int, int]]:
    """Minutes of the day between which there are bars, (opening, close) of each part."""
    if interval_ns >= _SHORTEST_DAILY_NS:
        opens = int(np.median(local % DAY_NS) // _MINUTE_NS)
        return [(opens, opens)]
    step = max(1, int(interval_ns // _MINUTE_NS))
    minutes = local // _MINUTE_NS
    phase = int(np.bincount((minutes % step).astype(np.intp)).argmax())
    slots = max(1, _MINUTES // step)
    counts = np.bincount(
        ((minutes - phase) % _MINUTES // step % slots).astype(np.intp), minlength=slots
    )
    is_open = counts > _OPEN_ABOVE * np.quantile(counts[counts > 0], 0.9)
    if is_open.all():
        opens = _weekly_opening(local, interval_ns)
        return [(opens, opens)]
    starts = np.flatnonzero(is_open & ~np.roll(is_open, 1))
    ends = np.flatnonzero(is_open & ~np.roll(is_open, -1)) + 1
    # Each start with the end that follows it; the day begins after the longest time without bars.
    ends = np.roll(ends, -int(np.searchsorted(ends, starts[0], side="right")))
    pauses = (starts - np.roll(ends, 1)) % slots
    first = int(pauses.argmax())
    return [
        ((phase + int(start) * step) % _MINUTES, (phase + int(end) * step) % _MINUTES)
        for start, end in zip(np.roll(starts, -first), np.roll(ends, -first), strict=True)
    ]


def _weekly_opening(local: NDArray[np.int64], interval_ns: int) -> int:
    spacings = np.diff(local)
    after = local[1:][spacings > DAY_NS + interval_ns]
    if after.size == 0:
        return 0
    minutes = (after % DAY_NS // _MINUTE_NS).astype(np.intp)
    return int(np.bincount(minutes).argmax())


def _weekdays(days: NDArray[np.int64]) -> list[int]:
    """Weekdays (Monday is 0) that have bars in more than half of the weeks."""
    # The epoch was a Thursday.
    seen = np.bincount(((days + 3) % 7).astype(np.intp), minlength=7)
    return [int(day) for day in np.flatnonzero(seen > _OPEN_ABOVE * seen.max())]


def _agreement(market: Market, times: NDArray[np.int64], interval_ns: int) -> float:
    """Harmonic mean of the share of bars within the pattern and of the pattern's bars there are."""
    sessions = market.sessions
    assert sessions is not None
    market.trading_days(times[[0, -1]])  # Refuses what the calendar does not cover.
    if interval_ns >= _SHORTEST_DAILY_NS:
        owners = np.unique(np.searchsorted(sessions.closes_ns, times, side="right"))
        return 2.0 * owners.size / (times.size + int(owners[-1] - owners[0]) + 1)
    runs = np.searchsorted(sessions.run_closes_ns, times, side="right")
    inside = int((sessions.run_opens_ns[runs] < times + interval_ns).sum())
    expected = market.missing_bars(int(times[0]), int(times[-1]), interval_ns) + 2
    return 2.0 * inside / (times.size + expected)
