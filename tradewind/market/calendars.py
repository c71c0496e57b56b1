"""Markets by their names: always open, the week of foreign exchange, exchanges, weekly patterns."""

import re
import warnings
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import MarketDataError
from tradewind.market.sessions import ALWAYS_OPEN, DAY_NS, Market, Sessions

__all__ = ["FX_WEEK", "MAX_PARTS", "WEEK_DAYS", "market_named", "weekly_name"]

FX_WEEK: Final = "fx-week"
_FX_ZONE: Final = "America/New_York"
_FX_TURN_H: Final = 17
_FX_DAYS_PER_YEAR: Final = 260.0  # 52 weeks of five days

WEEK_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEKS_PER_YEAR: Final = 365.2425 / 7
_PATTERN: Final = re.compile(
    r"weekly/(?P<zone>[A-Za-z_+\-/0-9]+)/(?P<days>[A-Za-z,\-]+) "
    r"(?P<hours>\d\d:\d\d-\d\d:\d\d(,\d\d:\d\d-\d\d:\d\d)*)"
)
MAX_PARTS: Final = 3
"""Parts that a day of a weekly pattern may have, between its breaks."""

# The range of the calendars that rules make; the library shortens it where it knows less.
_FIRST_DAY: Final = date(1950, 1, 1)
_LAST_DAY: Final = date(2049, 12, 31)
# What a regular year is taken from: complete years that lie behind, with their special closings.
_REFERENCE_YEARS: Final = range(2005, 2025)
_REGULAR_SESSIONS: Final = 500  # of the latest ones, for the length of a regular session

Days = NDArray[np.int64]


def market_named(name: str) -> Market:
    """The market of a name.

    Args:
        name: "always-open" (24 hours a day, every day of the year); "fx-week" (Sunday 17:00 to
            Friday 17:00 in New York, but for Christmas and New Year's Day); a code of the
            exchange-calendars library, such as "XNYS"; or a weekly pattern without holidays,
            "weekly/ZONE/DAYS HH:MM-HH:MM", such as "weekly/Europe/Berlin/Mon-Fri 09:00-17:30".
            Several hours stand after commas; a time that is not later than the one before it is
            one of the next day.

    Raises:
        MarketDataError: There is no such market.
        ImportError: It is an exchange's, and exchange-calendars is not installed.
    """
    if name == ALWAYS_OPEN.name:
        return ALWAYS_OPEN
    if name == FX_WEEK:
        return _fx_week()
    if name.startswith("weekly/"):
        return _weekly(name)
    return _exchange(name)


def weekly_name(zone: str, days: list[int], parts: list[tuple[int, int]]) -> str:
    """The name of a weekly pattern.

    Args:
        zone: IANA name of the time zone.
        days: Weekdays on which sessions open, Monday is 0; increasing.
        parts: Opening and close of each part of a session, minutes after midnight.
    """
    consecutive = len(days) > 2 and days == list(range(days[0], days[-1] + 1))
    listed = (
        f"{WEEK_DAYS[days[0]]}-{WEEK_DAYS[days[-1]]}"
        if consecutive
        else ",".join(WEEK_DAYS[day] for day in days)
    )
    hours = ",".join(f"{_clock(opens)}-{_clock(closes)}" for opens, closes in parts)
    return f"weekly/{zone}/{listed} {hours}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@lru_cache(maxsize=1)
def _fx_week() -> Market:
    days = [
        day
        for day in _all_days()
        if day.weekday() < 5 and (day.month, day.day) not in ((12, 25), (1, 1))
    ]
    zone, turn = ZoneInfo(_FX_ZONE), _FX_TURN_H * 60
    opens = [_instant(day - timedelta(days=1), turn, zone) for day in days]
    closes = [_instant(day, turn, zone) for day in days]
    sessions = _sessions(days, [opens], [closes], _FX_DAYS_PER_YEAR)
    return Market(FX_WEEK, _FX_ZONE, sessions)


@lru_cache(maxsize=16)
def _weekly(name: str) -> Market:
    parts = _PATTERN.fullmatch(name)
    if parts is None:
        raise _no_market(name, "a weekly pattern is weekly/ZONE/DAYS HH:MM-HH:MM")
    try:
        zone = ZoneInfo(parts["zone"])
        times = [_minutes(text) for text in re.split("[-,]", parts["hours"])]
        weekdays = _weekdays(parts["days"])
    except (ValueError, ZoneInfoNotFoundError) as problem:
        raise _no_market(name, str(problem)) from None
    for index in range(1, len(times)):
        while times[index] <= times[index - 1]:
            times[index] += 1_440
    if len(times) > 2 * MAX_PARTS or times[-1] > times[0] + 1_440:
        raise _no_market(name, f"a session has up to {MAX_PARTS} parts within 24 hours")
    days = [day for day in _all_days() if day.weekday() in weekdays]
    instants = [[_instant(day, minutes, zone) for day in days] for minutes in times]
    per_year = round(_WEEKS_PER_YEAR * len(weekdays), 1)
    return Market(name, parts["zone"], _sessions(days, instants[::2], instants[1::2], per_year))


def _minutes(text: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    if not (hours < 24 and minutes < 60) and text != "24:00":
        raise ValueError(f"{text!r} is no time of the day")
    return hours * 60 + minutes


def _weekdays(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        unknown = [day for day in (first, last or first) if day not in WEEK_DAYS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is none of {', '.join(WEEK_DAYS)}")
        start, end = WEEK_DAYS.index(first), WEEK_DAYS.index(last or first)
        found += range(start, end + 1) if start <= end else [*range(start, 7), *range(end + 1)]
    return sorted(set(found))


@lru_cache(maxsize=128)
def _exchange(name: str) -> Market:
    try:
        # With pandas, half a second: only for those who trade on an exchange.
        import exchange_calendars
    except ModuleNotFoundError as missing:
        raise ImportError(
            f"the calendar of the market {name!r} needs: pip install 'tradewind[bars]'"
        ) from missing
    with warnings.catch_warnings():
        # Of what pandas will remove one day, on account of the library.
        warnings.simplefilter("ignore")
        known = exchange_calendars.get_calendar_names(include_aliases=True)
        if name not in known:
            raise _no_market(name, "it is no code of exchange-calendars either")
        calendar = _long_calendar(exchange_calendars, name)
        code = exchange_calendars.resolve_alias(name)
        return _from_schedule(code, str(calendar.tz), calendar.schedule)


def _long_calendar(library: Any, name: str) -> Any:
    """The calendar over as many years as the library knows."""
    try:
        return library.get_calendar(
            name, start=_FIRST_DAY.isoformat(), end=_LAST_DAY.isoformat(), side="left"
        )
    except ValueError:
        pass  # It knows less than these years.
    # Where special closings stand outside the library's own range as well, this one raises.
    usual = library.get_calendar(name, side="left")
    first, last = usual.bound_min(), usual.bound_max()
    start = max(_FIRST_DAY, first.date()) if first is not None else _FIRST_DAY
    end = min(_LAST_DAY, last.date()) if last is not None else _LAST_DAY
    try:
        return library.get_calendar(name, start=start.isoformat(), end=end.isoformat(), side="left")
    except ValueError:
        return usual


def _from_schedule(code: str, zone: str, schedule: Any) -> Market:
    days = [stamp.date() for stamp in schedule.index]
    opens, closes, break_starts, break_ends = (
        schedule[column].dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
        for column in ("open", "close", "break_start", "break_end")
    )
    has_break = ~np.isnat(break_starts)
    opens_ns, closes_ns = opens.astype(np.int64), closes.astype(np.int64)
    first_ends = np.where(has_break, break_starts.astype(np.int64), closes_ns)
    # The part after the break is empty where there is none.
    second_starts = np.where(has_break, break_ends.astype(np.int64), closes_ns)
    per_year = _mean_sessions_per_year(days)
    sessions = _sessions(days, [opens_ns, second_starts], [first_ends, closes_ns], per_year)
    return Market(code, zone, sessions)


def _mean_sessions_per_year(days: list[date]) -> float:
    """Sessions of a usual year: a whole number, as in the 252 days of American shares."""
    counts: dict[int, int] = {}
    for day in days:
        counts[day.year] = counts.get(day.year, 0) + 1
    complete = [counts[year] for year in _REFERENCE_YEARS if counts.get(year, 0) > 0]
    if not complete:
        complete = list(counts.values())[1:-1] or list(counts.values())
    return float(round(sum(complete) / len(complete)))


def _sessions(
    days: list[date], part_opens: list[Any], part_closes: list[Any], per_year: float
) -> Sessions:
    """Sessions of one part or more; parts that touch run into each other."""
    opens = np.array(part_opens, dtype=np.int64).T
    closes = np.array(part_closes, dtype=np.int64).T
    run_opens, run_closes = _runs(opens.ravel(), closes.ravel())
    *parts_ns, span_ns = _regular_session(opens, closes)
    numbers = np.array([day.toordinal() for day in days], dtype=np.int64)
    return Sessions(
        days=numbers - date(1970, 1, 1).toordinal(),
        opens_ns=opens[:, 0],
        closes_ns=closes[:, -1],
        run_opens_ns=run_opens,
        run_closes_ns=run_closes,
        per_year=per_year,
        regular_parts_ns=tuple(part for part in parts_ns if part > 0),
        regular_span_ns=span_ns,
    )


def _runs(opens: Days, closes: Days) -> tuple[Days, Days]:
    kept = closes > opens
    opens, closes = opens[kept], closes[kept]
    apart = opens[1:] > closes[:-1]
    return opens[np.r_[True, apart]], closes[np.r_[apart, True]]


def _regular_session(opens: Days, closes: Days) -> list[int]:
    """Lengths of the parts, and from opening to close, of the most frequent recent session."""
    spans = closes[:, -1:] - opens[:, :1]
    lengths = np.hstack([closes - opens, spans])[-_REGULAR_SESSIONS:]
    kinds, counts = np.unique(lengths, axis=0, return_counts=True)
    return [int(length) for length in kinds[np.argmax(counts)]]


def _all_days() -> list[date]:
    count = (_LAST_DAY - _FIRST_DAY).days + 1
    return [_FIRST_DAY + timedelta(days=number) for number in range(count)]


def _instant(day: date, minutes: int, zone: ZoneInfo) -> int:
    """Nanoseconds since the epoch at a time of a local day, minutes after its midnight."""
    local = datetime.combine(
        day + timedelta(days=minutes // 1_440),
        time(minutes // 60 % 24, minutes % 60),
        tzinfo=zone,
    )
    return int(local.timestamp()) * (DAY_NS // 86_400)


def _no_market(name: str, why: str) -> MarketDataError:
    return MarketDataError(
        f"there is no market {name!r} ({why}); there are always-open, fx-week, codes such as XNYS, "
        f"and weekly patterns such as weekly/Europe/Berlin/Mon-Fri 09:00-17:30"
    )
