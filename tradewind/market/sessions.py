"""A market: when it trades, how many bars a year has there, and which bar follows which."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import MarketDataError

__all__ = ["ALWAYS_OPEN", "DAY_NS", "Market", "Sessions", "format_time"]

DAY_NS: Final = 86_400 * 1_000_000_000
_SECOND_NS: Final = 1_000_000_000
_DAYS_PER_YEAR: Final = 365.0

# Bars longer than this span several trading days: they follow the weeks and months of the
# calendar, not the sessions.
_LONGEST_DAILY_NS: Final = DAY_NS * 3 // 2
_PERIODS_OF_DAYS: Final = ((28, 31, 12.0), (90, 92, 4.0), (365, 366, 1.0))
"""Shortest and longest spacing, in days, of months, quarters and years, and how many a year."""

TimestampArray = NDArray[np.int64]

_NEVER: Final[TimestampArray] = np.empty(0, dtype=np.int64)
_NEVER.setflags(write=False)


@dataclass(frozen=True)
class Sessions:
    """When a market with sessions trades. Every array is of int64 and read-only.

    Attributes:
        days: Date of each session, days since the epoch. Shape [n].
        opens_ns: When each session opens, nanoseconds since the epoch. Shape [n].
        closes_ns: When it closes: no bar starts then. Shape [n].
        run_opens_ns: Starts of the times without a break: a session's, its part before or after
            a lunch break, or a whole week where one session opens as the one before it closes.
            Shape [m].
        run_closes_ns: Their ends. Shape [m].
        per_year: Sessions a year.
        regular_parts_ns: Lengths of the parts of a regular session: two where there is a lunch
            break, else one.
        regular_span_ns: From the opening to the close of a regular session.
    """

    days: TimestampArray
    opens_ns: TimestampArray
    closes_ns: TimestampArray
    run_opens_ns: TimestampArray
    run_closes_ns: TimestampArray
    per_year: float
    regular_parts_ns: tuple[int, ...]
    regular_span_ns: int

    def __post_init__(self) -> None:
        for name in ("days", "opens_ns", "closes_ns", "run_opens_ns", "run_closes_ns"):
            array = np.array(getattr(self, name), dtype=np.int64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)


@dataclass(frozen=True)
class Market:
    """When a market trades, and what follows from it. Markets of the same name are equal.

    Bars are told by the start of their interval. A market says when bars are to be expected; bars
    at other times (before the opening, on a holiday) are no error and are not counted as missing.

    Attributes:
        name: "always-open", "fx-week", a code of the exchange-calendars library such as "XNYS",
            or a weekly pattern (see `market_named`); `market_named(name)` gives the market back.
        time_zone: Where its days are days.
        sessions: When it trades; None where it never closes.
        said: How the market was recognised, in one line; "" where it was named.
    """

    name: str
    time_zone: str = "UTC"
    sessions: Sessions | None = field(default=None, compare=False, repr=False)
    said: str = field(default="", compare=False, repr=False)

    @property
    def session_hours_ns(self) -> tuple[TimestampArray, TimestampArray]:
        """When each session opens and when it closes; empty where the market never does.

        Shape [n] each.
        """
        if self.sessions is None:
            return _NEVER, _NEVER
        return self.sessions.opens_ns, self.sessions.closes_ns

    def is_daily(self, interval_ns: int) -> bool:
        """Whether a bar of this length is a whole trading day."""
        if self.sessions is None:
            return DAY_NS <= interval_ns <= _LONGEST_DAILY_NS
        return min(self.sessions.regular_span_ns, DAY_NS) <= interval_ns <= _LONGEST_DAILY_NS

    def bars_per_day(self, interval_ns: int) -> int:
        """Bars in a regular trading day, at least 1.

        Raises:
            MarketDataError: The interval is not positive.
        """
        _check_interval(interval_ns)
        if self.sessions is None:
            return max(1, DAY_NS // interval_ns)
        if self.is_daily(interval_ns):
            return 1
        return sum(-(-part // interval_ns) for part in self.sessions.regular_parts_ns)

    def periods_per_year(self, interval_ns: int) -> float:
        """Bars in a year.

        Where the market never closes, 365 days divided by the interval. With sessions, the
        sessions of a year times the bars in a regular one (half days count as whole ones). Bars
        of several days follow the calendar: 12 months, 4 quarters, 365 days / 7 weeks.

        Args:
            interval_ns: Length of a bar.

        Raises:
            MarketDataError: The interval is not positive.
        """
        _check_interval(interval_ns)
        if interval_ns > _LONGEST_DAILY_NS:
            for shortest, longest, count in _PERIODS_OF_DAYS:
                if shortest * DAY_NS <= interval_ns <= longest * DAY_NS:
                    return count
            return _DAYS_PER_YEAR * DAY_NS / interval_ns
        if self.sessions is None:
            return _DAYS_PER_YEAR * DAY_NS / interval_ns
        return self.sessions.per_year * self.bars_per_day(interval_ns)

    def covers(self, ts_ns: int) -> bool:
        """Whether the calendar goes as far as a time."""
        sessions = self.sessions
        # A day of grace before the first opening: daily bars begin at midnight.
        return sessions is None or bool(
            sessions.opens_ns[0] - DAY_NS <= ts_ns < sessions.closes_ns[-1]
        )

    def is_open(self, ts_ns: int) -> bool:
        """Whether the market trades at a time: an opening is open, a close is not."""
        if self.sessions is None:
            return True
        run = int(np.searchsorted(self.sessions.run_closes_ns, ts_ns, side="right"))
        self._check_covered(ts_ns)
        return bool(self.sessions.run_opens_ns[run] <= ts_ns)

    def trading_day(self, ts_ns: int) -> int:
        """The date of the trading day that a time belongs to, as days since the epoch.

        The date (UTC) where the market never closes. With sessions, the date of the session that
        is open then, or opens next: what comes after a close belongs to the next day.
        """
        if self.sessions is None:
            return ts_ns // DAY_NS
        return int(self.trading_days(np.array([ts_ns], dtype=np.int64))[0])

    def trading_days(self, timestamps_ns: TimestampArray) -> TimestampArray:
        """`trading_day` of every time. Shape [n]."""
        if self.sessions is None:
            return np.floor_divide(timestamps_ns, DAY_NS)
        return self.sessions.days[self._session_of(timestamps_ns)]

    def closed_before_ns(self, timestamps_ns: TimestampArray) -> TimestampArray:
        """How long the market was closed just before a bar; 0 where it was open since the last one.

        Args:
            timestamps_ns: Starts of bars, increasing. Shape [n].

        Returns:
            Nanoseconds of the night, week-end, holiday or break that ended since the bar before.
            Shape [n]; 0 for the first bar.

        Raises:
            MarketDataError: The market's calendar does not go as far.
        """
        closed = np.zeros(timestamps_ns.size, dtype=np.int64)
        if self.sessions is None:
            return closed
        self._check_all_covered(timestamps_ns)
        opens, closes = self.sessions.run_opens_ns, self.sessions.run_closes_ns
        runs = np.searchsorted(closes, timestamps_ns, side="right")
        first = np.flatnonzero(np.diff(runs) > 0) + 1
        closed[first] = opens[runs[first]] - closes[runs[first] - 1]
        return closed

    def session_elapsed(self, timestamps_ns: TimestampArray) -> NDArray[np.float64]:
        """What part of its session is over when each bar starts, from 0 to 1. Shape [n].

        0 for what comes before the opening; of the day (UTC) where the market never closes.

        Raises:
            MarketDataError: The market's calendar does not go as far.
        """
        if self.sessions is None:
            return (timestamps_ns % DAY_NS) / DAY_NS
        session = self._session_of(timestamps_ns)
        opens, closes = self.sessions.opens_ns[session], self.sessions.closes_ns[session]
        elapsed: NDArray[np.float64] = np.maximum(timestamps_ns - opens, 0) / (closes - opens)
        return elapsed

    def next_bar_start_ns(self, bar_start_ns: int, interval_ns: int) -> int:
        """When the bar that follows a bar starts: across nights, week-ends, holidays, half days.

        Bars within a session begin at multiples of the interval after its opening, or at the
        multiples of the interval that the given bar begins at (9:00, 10:00 for a market that
        opens at 9:30). Daily bars keep the time of day of the given one: midnight (UTC or local),
        the opening, the close.

        Args:
            bar_start_ns: Start of a bar.
            interval_ns: Length of a bar.

        Raises:
            MarketDataError: The interval is not positive, or the market's calendar ends.
        """
        _check_interval(interval_ns)
        if self.sessions is None or interval_ns > _LONGEST_DAILY_NS:
            return bar_start_ns + interval_ns
        if self.is_daily(interval_ns):
            return self._next_day(self.sessions, bar_start_ns)
        runs = self.sessions
        run = self._run_of(bar_start_ns)
        following = bar_start_ns + interval_ns
        # A bar that straddles the opening is the first one of its run, and stays so.
        if following < runs.run_closes_ns[run] and following > runs.run_opens_ns[run]:
            return following
        if following > runs.run_opens_ns[run]:
            run += 1
            self._check_run(run, bar_start_ns)
        return self._first_bar(run, bar_start_ns, interval_ns)

    def missing_bars(self, previous_start_ns: int, start_ns: int, interval_ns: int) -> int:
        """How many bars the calendar has between two bars: 0 across a night or a holiday.

        Args:
            previous_start_ns: Start of the earlier bar.
            start_ns: Start of the later one.
            interval_ns: Length of a bar.

        Returns:
            The number; 0 as well where the second bar is not later than the first.

        Raises:
            MarketDataError: The interval is not positive, or the market's calendar does not go
                as far.
        """
        _check_interval(interval_ns)
        spacing = start_ns - previous_start_ns
        if spacing <= 0:
            return 0
        if interval_ns > _LONGEST_DAILY_NS or (self.sessions is None and interval_ns >= DAY_NS):
            # Months differ in length, a holiday moves a week's first day, and a day by the clocks
            # of a place has 23 or 25 hours once a year.
            return max(0, round(spacing / interval_ns) - 1)
        if self.sessions is None:
            return -(-spacing // interval_ns) - 1
        if self.is_daily(interval_ns):
            first, last = self._session_of(np.array([previous_start_ns, start_ns], dtype=np.int64))
            return max(0, int(last - first) - 1)
        return self._bars_between(previous_start_ns, start_ns, interval_ns)

    def _bars_between(self, previous_ns: int, start_ns: int, interval_ns: int) -> int:
        first_run = self._run_of(previous_ns)
        last_run = self._run_of(start_ns)
        count, after = 0, previous_ns + 1
        for run in range(first_run, last_run + 1):
            if run > first_run or previous_ns + interval_ns <= self._runs_open(run):
                inside = max(self._first_bar(run, previous_ns, interval_ns), after)
            else:
                inside = previous_ns + interval_ns
            end = min(start_ns, self._runs_close(run))
            steps = max(0, -(-(end - inside) // interval_ns))
            count += steps
            after = max(after, inside + (steps - 1) * interval_ns + 1)
        return count

    def _runs_open(self, run: int) -> int:
        assert self.sessions is not None
        return int(self.sessions.run_opens_ns[run])

    def _runs_close(self, run: int) -> int:
        assert self.sessions is not None
        return int(self.sessions.run_closes_ns[run])

    def _run_of(self, bar_start_ns: int) -> int:
        """The run that a bar trades in, or else the next one."""
        assert self.sessions is not None
        self._check_covered(bar_start_ns)
        return int(np.searchsorted(self.sessions.run_closes_ns, bar_start_ns, side="right"))

    def _first_bar(self, run: int, like_ns: int, interval_ns: int) -> int:
        """Start of the first bar of a run, for bars on the grid of `like_ns`."""
        opens = self._runs_open(run)
        own = self._run_of(like_ns)
        if (like_ns - self._runs_open(own)) % interval_ns == 0:
            return opens
        first = opens - (opens - like_ns) % interval_ns
        # A pause within a bar: the bar is that of the run before.
        return first if first > like_ns else first + interval_ns

    def _next_day(self, sessions: Sessions, ts_ns: int) -> int:
        index = int(self._session_of(np.array([ts_ns], dtype=np.int64))[0])
        if index + 1 >= sessions.days.size:
            raise self._beyond(ts_ns)
        if ts_ns == sessions.opens_ns[index]:
            return int(sessions.opens_ns[index + 1])
        if index > 0 and ts_ns == sessions.closes_ns[index - 1]:
            return int(sessions.closes_ns[index])
        days = int(sessions.days[index + 1] - sessions.days[index])
        if ts_ns % DAY_NS == 0:
            return ts_ns + days * DAY_NS
        seconds, rest = divmod(ts_ns, _SECOND_NS)
        local = datetime.fromtimestamp(seconds, tz=self._zone) + timedelta(days=days)
        return int(local.timestamp()) * _SECOND_NS + rest

    def _session_of(self, timestamps_ns: TimestampArray) -> NDArray[np.intp]:
        """Index of the session that is open at each time, or else of the next one."""
        assert self.sessions is not None
        self._check_all_covered(timestamps_ns)
        return np.searchsorted(self.sessions.closes_ns, timestamps_ns, side="right")

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def _check_covered(self, ts_ns: int) -> None:
        if not self.covers(ts_ns):
            raise self._beyond(ts_ns)

    def _check_all_covered(self, timestamps_ns: TimestampArray) -> None:
        if timestamps_ns.size:
            self._check_covered(int(timestamps_ns.min()))
            self._check_covered(int(timestamps_ns.max()))

    def _check_run(self, run: int, ts_ns: int) -> None:
        assert self.sessions is not None
        if run >= self.sessions.run_opens_ns.size:
            raise self._beyond(ts_ns)

    def _beyond(self, ts_ns: int) -> MarketDataError:
        assert self.sessions is not None
        first, last = (
            datetime.fromtimestamp(int(day) * 86_400, tz=UTC).date()
            for day in (self.sessions.days[0], self.sessions.days[-1])
        )
        return MarketDataError(
            f"the calendar of {self.name} goes from {first} to {last}; {format_time(ts_ns)} is "
            f"not in it (a newer release of exchange-calendars may go further)"
        )


def format_time(timestamp_ns: int) -> str:
    """ISO 8601 to the second, for messages."""
    return datetime.fromtimestamp(int(timestamp_ns) // _SECOND_NS, tz=UTC).isoformat()


def _check_interval(interval_ns: int) -> None:
    if interval_ns <= 0:
        raise MarketDataError(f"interval_ns must be positive, not {interval_ns}")


ALWAYS_OPEN: Final = Market("always-open")
"""A market that never closes, whose days are those of UTC."""
