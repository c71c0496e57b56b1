"""The bar guard in markets with sessions: nights are no gaps, holes within a session are."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from orchestrator.decision_log import BarRecord
from orchestrator.feeds import BarFlag, BarGuard, BarGuardSettings, FeedBar
from orchestrator.markets import Markets
from tradewind.market import Bar
from tradewind.market.markets import market_named

MINUTE = 60_000_000_000
HALF_HOUR, HOUR, DAY = 30 * MINUTE, 60 * MINUTE, 1_440 * MINUTE


def ns(text: str) -> int:
    """A time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def flags(
    times: Sequence[str], interval_ns: int, market: str | None, max_gap_bars: int = 3
) -> list[tuple[str, ...]]:
    """What the guard says of bars that start at these times."""
    known = None if market is None else market_named(market)
    guard = BarGuard(
        BarGuardSettings(max_gap_bars=max_gap_bars),
        ["ACME"],
        interval_ns,
        Markets({"ACME": known}, interval_ns),
    )
    found = []
    for text in times:
        start_ns = ns(text)
        bar = Bar(start_ns, 100.0, 101.0, 99.0, 100.0, 5.0)
        got = guard.check(FeedBar("ACME", bar, start_ns + interval_ns))
        assert isinstance(got, BarRecord)
        found.append(got.flags)
    return found


@pytest.mark.parametrize(
    ("interval_ns", "market", "times"),
    [
        # A night, a week-end, and Thanksgiving with the half day after it and the week-end.
        (HALF_HOUR, "XNYS", ["2019-11-26 20:30", "2019-11-27 14:30"]),
        (HALF_HOUR, "XNYS", ["2019-11-22 20:30", "2019-11-25 14:30"]),
        (HALF_HOUR, "XNYS", ["2019-11-27 20:30", "2019-11-29 14:30"]),
        (HALF_HOUR, "XNYS", ["2019-11-29 17:30", "2019-12-02 14:30"]),
        # New York leaves and enters daylight time: the session moves by an hour of UTC.
        (HALF_HOUR, "XNYS", ["2019-11-01 19:30", "2019-11-04 14:30"]),
        (HALF_HOUR, "XNYS", ["2019-03-08 20:30", "2019-03-11 13:30"]),
        (MINUTE, "XNYS", ["2019-11-26 20:59", "2019-11-27 14:30"]),
        (HOUR, "XNYS", ["2019-11-26 20:30", "2019-11-27 14:30"]),
        # Daily bars at midnight of UTC: a week-end, and Labor Day.
        (DAY, "XNYS", ["2019-08-23 00:00", "2019-08-26 00:00"]),
        (DAY, "XNYS", ["2019-08-30 00:00", "2019-09-03 00:00"]),
        # Foreign exchange from Friday to Sunday, 17:00 in New York.
        (HOUR, "fx-week", ["2019-08-23 20:00", "2019-08-25 21:00"]),
        (HOUR, "fx-week", ["2019-12-06 21:00", "2019-12-08 22:00"]),
    ],
)
def test_guard_with_closed_hours_between_two_bars_says_nothing(
    interval_ns: int, market: str, times: Sequence[str]
) -> None:
    assert flags(times, interval_ns, market, max_gap_bars=0) == [(), ()]


@pytest.mark.parametrize(
    ("interval_ns", "market", "times", "flag"),
    [
        # The last bar of a day and the first of the next one: two are missing.
        (HALF_HOUR, "XNYS", ["2019-11-26 20:00", "2019-11-27 15:00"], BarFlag.GAP),
        # A whole session is 13 half hours.
        (HALF_HOUR, "XNYS", ["2019-11-25 20:30", "2019-11-27 14:30"], BarFlag.WARM_UP_AGAIN),
        (DAY, "XNYS", ["2019-08-22 00:00", "2019-08-26 00:00"], BarFlag.GAP),
        (DAY, "XNYS", ["2019-08-16 00:00", "2019-08-26 00:00"], BarFlag.WARM_UP_AGAIN),
        (HALF_HOUR, "always-open", ["2019-11-22 20:30", "2019-11-25 14:30"], BarFlag.WARM_UP_AGAIN),
    ],
)
def test_guard_with_bars_missing_while_the_market_was_open_flags_the_next_one(
    interval_ns: int, market: str, times: Sequence[str], flag: BarFlag
) -> None:
    assert flags(times, interval_ns, market) == [(), (flag,)]


def test_guard_without_a_market_goes_on_across_what_may_be_a_night_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    times = ["2019-11-22 20:30", "2019-11-25 14:30", "2019-11-25 15:30", "2019-11-26 14:30"]
    with caplog.at_level(logging.WARNING):
        found = flags(times, HALF_HOUR, None)
    assert found == [(), (BarFlag.UNKNOWN_GAP,), (BarFlag.GAP,), (BarFlag.UNKNOWN_GAP,)]
    assert len(caplog.records) == 1
    assert "`market` in the settings" in caplog.text


def test_guard_beyond_the_end_of_a_calendar_goes_on_as_in_training_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        found = flags(["2062-01-02 20:30", "2062-01-03 14:30", "2062-01-04 14:30"], HOUR, "XNYS")
    assert found == [(), (BarFlag.UNKNOWN_GAP,), (BarFlag.UNKNOWN_GAP,)]
    assert caplog.text.count("there the market is not known") == 1


@pytest.mark.parametrize(
    ("interval_ns", "market", "times"),
    [
        # Midnights of Berlin when summer time begins and ends: days of 23 and of 25 hours.
        (DAY, "always-open", ["2019-03-29 23:00", "2019-03-30 23:00", "2019-03-31 22:00"]),
        (DAY, "always-open", ["2019-10-25 22:00", "2019-10-26 22:00", "2019-10-27 23:00"]),
        # Stamped at the close: that of a half day comes three hours earlier.
        (DAY, "XNYS", ["2019-07-02 20:00", "2019-07-03 17:00", "2019-07-05 20:00"]),
        # Weeks from their first trading day on, and months.
        (7 * DAY, "XNYS", ["2019-09-03 00:00", "2019-09-09 00:00", "2019-09-16 00:00"]),
        (31 * DAY, "XNYS", ["2019-01-01 00:00", "2019-02-01 00:00", "2019-03-01 00:00"]),
    ],
)
def test_guard_with_long_bars_that_differ_in_length_lets_all_of_them_through(
    interval_ns: int, market: str, times: Sequence[str]
) -> None:
    assert flags(times, interval_ns, market, max_gap_bars=0) == [(), (), ()]


def test_guard_with_a_daily_bar_far_too_early_refuses_it() -> None:
    with pytest.raises(AssertionError):
        flags(["2019-11-26 00:00", "2019-11-26 12:00"], DAY, "always-open")


@pytest.mark.parametrize(
    ("interval_ns", "start", "arrived", "taken"),
    [
        # The last hour of New York's day takes half of one, a day's bar is over at its close.
        (HOUR, "2019-11-26 20:30", "2019-11-26 21:00:01", True),
        (HOUR, "2019-11-26 20:30", "2019-11-26 20:59:58", False),
        (HOUR, "2019-11-29 17:30", "2019-11-29 18:00:01", True),
        (HOUR, "2019-11-26 19:30", "2019-11-26 20:29:58", False),
        (DAY, "2019-11-26 00:00", "2019-11-26 21:05:00", True),
        (DAY, "2019-11-26 00:00", "2019-11-26 20:55:00", False),
        (DAY, "2019-11-29 00:00", "2019-11-29 18:05:00", True),
        # Outside the hours of the market a bar is as long as it says.
        (HALF_HOUR, "2019-11-26 13:00", "2019-11-26 13:29:50", False),
        (HALF_HOUR, "2019-11-26 13:00", "2019-11-26 13:30:01", True),
    ],
)
def test_guard_with_a_bar_that_its_session_cuts_short_takes_it_once_that_has_closed(
    interval_ns: int, start: str, arrived: str, taken: bool
) -> None:
    guard = BarGuard(
        BarGuardSettings(),
        ["ACME"],
        interval_ns,
        Markets({"ACME": market_named("XNYS")}, interval_ns),
    )
    bar = Bar(ns(start), 100.0, 101.0, 99.0, 100.0, 5.0)
    got = guard.check(FeedBar("ACME", bar, ns(arrived)))
    assert isinstance(got, BarRecord) == taken
    assert taken or getattr(got, "fault", "") == "FUTURE"
