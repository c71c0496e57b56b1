"""Recognising a market from bars, as far as they tell and no farther."""

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tradewind.errors import MarketDataError
from tradewind.market import load_sample, market_named, recognise_market
from tradewind.market.sample import CRYPTO_SYMBOLS

SECOND = 10**9
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
START = int(datetime(2018, 1, 1, tzinfo=ZoneInfo("UTC")).timestamp()) * SECOND

Times = NDArray[np.int64]


def bars_of(name: str, interval_ns: int, days: int, before: int = 0, after: int = 0) -> Times:
    """Starts of the bars of the sessions of so many days, longer at both ends if wanted."""
    sessions = market_named(name).sessions
    assert sessions is not None
    runs = (sessions.run_opens_ns >= START) & (sessions.run_closes_ns < START + days * DAY)
    return np.concatenate(
        [
            np.arange(opens - before, closes + after, interval_ns)
            for opens, closes in zip(
                sessions.run_opens_ns[runs], sessions.run_closes_ns[runs], strict=True
            )
        ]
    )


def days_of(name: str, days: int) -> Times:
    sessions = market_named(name).sessions
    assert sessions is not None
    midnights = sessions.days * DAY
    return midnights[(midnights >= START) & (midnights < START + days * DAY)]


def week_hours(hours: int) -> tuple[Times, Times]:
    """So many hours from a Monday on, and which hour of the week each one is."""
    numbers = np.arange(hours)
    return START + numbers * HOUR, numbers % 168


@pytest.mark.parametrize("name", ["XNYS", "XTKS", "XHKG", "XLON", "XSHG", "fx-week"])
@pytest.mark.parametrize("interval_ns", [MINUTE, 30 * MINUTE, HOUR, DAY])
def test_bars_of_a_calendar_are_recognised(name: str, interval_ns: int) -> None:
    bars = days_of(name, 400) if interval_ns == DAY else bars_of(name, interval_ns, 400)
    found = recognise_market(bars, interval_ns)
    assert found.name == name
    assert found.said.startswith(f"{name}: its calendar fits 100.0% of the days")


@pytest.mark.parametrize("edge", ["opens_ns", "closes_ns"])
def test_daily_bars_with_the_time_of_an_opening_or_close_are_recognised(edge: str) -> None:
    sessions = market_named("XNYS").sessions
    assert sessions is not None
    assert recognise_market(getattr(sessions, edge)[17_000:17_400], DAY).name == "XNYS"


@pytest.mark.parametrize("symbol", CRYPTO_SYMBOLS)
def test_samples_with_their_outages_are_always_open(symbol: str) -> None:
    bars = load_sample(symbol)
    assert recognise_market(bars.timestamps_ns, bars.interval_ns).name == "always-open"


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    interval_ns=st.sampled_from([MINUTE, 30 * MINUTE, 4 * HOUR, DAY]),
    # Of fewer days, half of whose bars are lost, some look like a market with hours of its own.
    days=st.integers(14, 90),
    lost=st.floats(0.0, 0.4),
    outages=st.integers(0, 5),
)
def test_series_without_sessions_are_always_open_whatever_is_missing(
    seed: int, interval_ns: int, days: int, lost: float, outages: int
) -> None:
    rng = np.random.default_rng(seed)
    times = START + np.arange(0, days * DAY, interval_ns)
    kept = rng.random(times.size) >= lost
    for _ in range(outages):
        at = int(rng.integers(0, times.size))
        kept[at : at + int(rng.integers(0, max(times.size // 12, 1)))] = False
    kept[[0, -1]] = True
    assert recognise_market(times[kept], interval_ns).name == "always-open"


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    name=st.sampled_from(["XNYS", "XHKG", "fx-week"]),
    interval_ns=st.sampled_from([5 * MINUTE, 30 * MINUTE]),
    begin=st.integers(0, 200),
    days=st.integers(60, 300),
    lost=st.floats(0.0, 0.3),
)
def test_series_with_sessions_are_recognised_wherever_they_begin_and_with_bars_missing(
    seed: int, name: str, interval_ns: int, begin: int, days: int, lost: float
) -> None:
    times = bars_of(name, interval_ns, begin + days)
    times = times[times >= START + begin * DAY]
    kept = times[np.random.default_rng(seed).random(times.size) >= lost]
    assert recognise_market(kept, interval_ns).name == name


@pytest.mark.parametrize(
    ("times", "interval_ns"),
    [
        (START + MINUTE * np.arange(10), MINUTE),
        (START + DAY * np.arange(5), DAY),
        (np.array([START]), DAY),
    ],
)
def test_series_too_short_to_tell_are_assumed_to_be_always_open_and_say_so(
    times: Times, interval_ns: int
) -> None:
    found = recognise_market(times, interval_ns)
    assert found.name == "always-open"
    assert "assumed" in found.said or "single" in found.said


def test_ten_daily_bars_with_a_week_end_are_not_always_open() -> None:
    found = recognise_market(days_of("XNYS", 16)[:10], DAY)
    assert found.name == "XNYS"
    # Other exchanges had the same holidays in so short a time, and that is said or excluded.
    assert found.periods_per_year(DAY) == 252.0


def test_days_of_a_week_that_begins_on_sunday_are_not_always_open() -> None:
    # As charts of foreign exchange have them, whose clocks are those of eastern Europe.
    days = np.arange(START, START + 400 * DAY, DAY)
    found = recognise_market(days[(days // DAY + 3) % 7 != 5], DAY)
    assert found.name == "weekly/UTC/Mon,Tue,Wed,Thu,Fri,Sun 00:00-00:00"
    assert found.periods_per_year(DAY) == pytest.approx(313.1)


def test_sessions_after_the_end_of_all_calendars_are_refused_with_the_reason() -> None:
    later = days_of("XNYS", 200) + 32 * 365 * DAY
    with pytest.raises(MarketDataError, match="goes from 1950-01-01 to 2049-12-31; 2050-"):
        recognise_market(later, DAY)


def test_bars_on_a_holiday_do_not_hide_the_calendar() -> None:
    holiday = START + 14 * DAY + 14 * HOUR + 30 * MINUTE  # Martin Luther King's day
    bars = bars_of("XNYS", 30 * MINUTE, 200)
    with_holiday = np.sort(np.r_[bars, holiday + 30 * MINUTE * np.arange(13)])
    assert recognise_market(with_holiday, 30 * MINUTE).name == "XNYS"
    daily = np.sort(np.r_[days_of("XNYS", 200), START + 14 * DAY])
    assert recognise_market(daily, DAY).name == "XNYS"


def test_hourly_bars_on_full_hours_of_a_market_that_opens_at_half_past_are_recognised() -> None:
    bars = bars_of("XNYS", HOUR, 200, before=30 * MINUTE)
    assert recognise_market(bars, HOUR).name == "XNYS"


def test_extended_hours_are_no_exchange_s_but_their_own_pattern() -> None:
    bars = bars_of("XNYS", 5 * MINUTE, 200, before=330 * MINUTE, after=240 * MINUTE)
    found = recognise_market(bars, 5 * MINUTE)
    assert found.name == "weekly/America/New_York/Mon-Fri 04:00-20:00"
    assert "a pattern without holidays" in found.said


@pytest.mark.parametrize(
    ("is_open", "name"),
    [
        (lambda hour: hour < 120, "weekly/UTC/Mon-Fri 00:00-00:00"),
        (lambda hour: (hour < 120) & (hour % 24 >= 7) & (hour % 24 < 21),
         "weekly/UTC/Mon-Fri 07:00-21:00"),
        (lambda hour: np.isin(hour // 24, [0, 1, 2, 3, 6]) & np.isin(hour % 24, [5, 6, 7]),
         "weekly/UTC/Mon,Tue,Wed,Thu,Sun 05:00-08:00"),
        (lambda hour: (hour < 120) & np.isin(hour % 24, [1, 2, 3, 6, 7, 8, 9]),
         "weekly/UTC/Mon-Fri 01:00-04:00,06:00-10:00"),
    ],
)  # fmt: skip
def test_sessions_of_no_known_calendar_give_their_weekly_pattern(
    is_open: Callable[[Times], NDArray[np.bool_]], name: str
) -> None:
    times, hour = week_hours(168 * 30)
    found = recognise_market(times[is_open(hour)], HOUR)
    assert found.name == name
    assert market_named(name) == found
    starts = times[is_open(hour)]
    missing = {
        found.missing_bars(before, after, HOUR) for before, after in pairwise(starts.tolist())
    }
    assert missing == {0}


def test_sessions_without_any_pattern_are_refused_with_the_cure() -> None:
    rng = np.random.default_rng(1)
    days = [START + number * DAY + int(rng.integers(0, 6)) * HOUR for number in range(200)]
    times = np.concatenate([each + np.arange(3) * 30 * MINUTE for each in days])
    with pytest.raises(MarketDataError, match='say which market it is, such as market="XNYS"'):
        recognise_market(times, 30 * MINUTE)
