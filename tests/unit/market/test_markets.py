"""Markets: what a calendar says of bars, against dates that everybody can look up."""

from datetime import date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tradewind.errors import MarketDataError
from tradewind.market import ALWAYS_OPEN, Market, market_named

SECOND = 10**9
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
NEW_YORK, TOKYO = ZoneInfo("America/New_York"), ZoneInfo("Asia/Tokyo")
UTC = ZoneInfo("UTC")


def at(zone: ZoneInfo, year: int, month: int, of_month: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, of_month, hour, minute, tzinfo=zone).timestamp()) * SECOND


def day(year: int, month: int, of_month: int) -> int:
    return (date(year, month, of_month) - date(1970, 1, 1)).days


@pytest.fixture(scope="module")
def nyse() -> Market:
    return market_named("XNYS")


@pytest.fixture(scope="module")
def fx() -> Market:
    return market_named("fx-week")


@pytest.mark.parametrize(
    ("name", "interval_ns", "expected"),
    [
        ("always-open", DAY, 365.0),
        ("always-open", 30 * MINUTE, 17_520.0),
        ("always-open", MINUTE, 525_600.0),
        ("always-open", 7 * DAY, 365.0 / 7.0),
        ("XNYS", DAY, 252.0),
        ("XNYS", 390 * MINUTE, 252.0),
        ("XNYS", HOUR, 252.0 * 7),  # 6½ hours: the last bar is half an hour
        ("XNYS", 30 * MINUTE, 252.0 * 13),
        ("XNYS", MINUTE, 252.0 * 390),
        ("XNYS", 31 * DAY, 12.0),
        ("XNYS", 91 * DAY, 4.0),
        ("fx-week", DAY, 260.0),
        ("fx-week", 30 * MINUTE, 260.0 * 48),
        ("fx-week", MINUTE, 260.0 * 1_440),
        ("XHKG", 30 * MINUTE, 246.0 * 11),  # 2½ and 3 hours around lunch
        ("weekly/Europe/Berlin/Mon-Fri 08:00-22:00", HOUR, 260.9 * 14),
    ],
)
def test_periods_per_year_are_sessions_times_bars_in_a_regular_one(
    name: str, interval_ns: int, expected: float
) -> None:
    assert market_named(name).periods_per_year(interval_ns) == pytest.approx(expected, rel=1e-12)


def test_next_bar_with_the_last_one_of_a_friday_is_the_first_one_of_the_monday(
    nyse: Market,
) -> None:
    last, first = at(NEW_YORK, 2019, 5, 3, 15, 30), at(NEW_YORK, 2019, 5, 6, 9, 30)
    assert nyse.next_bar_start_ns(last, 30 * MINUTE) == first
    assert nyse.missing_bars(last, first, 30 * MINUTE) == 0
    # Tuesday instead: a whole Monday of 13 bars is missing.
    assert nyse.missing_bars(last, first + DAY, 30 * MINUTE) == 13


def test_next_bar_with_a_half_day_goes_on_after_its_early_close(nyse: Market) -> None:
    # The day after Thanksgiving closes at 13:00.
    last = at(NEW_YORK, 2018, 11, 23, 12, 30)
    assert nyse.next_bar_start_ns(last, 30 * MINUTE) == at(NEW_YORK, 2018, 11, 26, 9, 30)
    assert not nyse.is_open(at(NEW_YORK, 2018, 11, 23, 13, 0))
    assert nyse.is_open(at(NEW_YORK, 2018, 11, 23, 12, 59))
    assert nyse.missing_bars(at(NEW_YORK, 2018, 11, 21, 15, 30), last, 30 * MINUTE) == 6


def test_next_bar_with_clocks_that_change_keeps_to_the_local_opening(nyse: Market) -> None:
    last = at(NEW_YORK, 2019, 3, 8, 15, 0)
    following = nyse.next_bar_start_ns(last, HOUR)
    # On the grid of full hours, as on that of half hours after the opening.
    assert following == at(NEW_YORK, 2019, 3, 11, 9, 0)
    half = nyse.next_bar_start_ns(at(NEW_YORK, 2019, 3, 8, 15, 30), HOUR)
    assert half == at(NEW_YORK, 2019, 3, 11, 9, 30)


def test_next_bar_with_a_lunch_break_is_the_first_one_after_it() -> None:
    tokyo = market_named("XTKS")
    last, first = at(TOKYO, 2019, 5, 8, 11, 0), at(TOKYO, 2019, 5, 8, 12, 30)
    assert tokyo.next_bar_start_ns(last, 30 * MINUTE) == first
    assert tokyo.missing_bars(last, first, 30 * MINUTE) == 0
    assert not tokyo.is_open(at(TOKYO, 2019, 5, 8, 12, 0))
    # Golden Week of 2019, when an emperor followed another: ten days.
    assert tokyo.next_bar_start_ns(at(TOKYO, 2019, 4, 26, 14, 30), 30 * MINUTE) == at(
        TOKYO, 2019, 5, 7, 9, 0
    )


@pytest.mark.parametrize("zone", [UTC, NEW_YORK])
def test_daily_bars_stamped_at_a_midnight_follow_the_sessions(nyse: Market, zone: ZoneInfo) -> None:
    # Friday to Tuesday over Memorial Day; and over the clock change of March.
    for before, after in (((2019, 5, 24), (2019, 5, 28)), ((2019, 3, 8), (2019, 3, 11))):
        first, second = at(zone, *before), at(zone, *after)
        assert nyse.next_bar_start_ns(first, DAY) == second
        assert nyse.missing_bars(first, second, DAY) == 0
        assert nyse.trading_day(first) == day(*before)


@pytest.mark.parametrize("edge", ["opens_ns", "closes_ns"])
def test_daily_bars_stamped_at_the_opening_or_the_close_follow_the_sessions(
    nyse: Market, edge: str
) -> None:
    assert nyse.sessions is not None
    # Half days, holidays and four changes of the clocks.
    stamps = getattr(nyse.sessions, edge)[17_000:17_500].tolist()
    for before, after in pairwise(stamps):
        assert nyse.next_bar_start_ns(before, DAY) == after
        assert nyse.missing_bars(before, after, DAY) == 0
    assert nyse.missing_bars(stamps[0], stamps[5], DAY) == 4


def test_fx_week_opens_on_sunday_and_its_days_turn_at_five_in_new_york(fx: Market) -> None:
    friday, sunday = at(NEW_YORK, 2019, 5, 3, 16, 0), at(NEW_YORK, 2019, 5, 5, 17, 0)
    assert fx.next_bar_start_ns(friday, HOUR) == sunday
    assert fx.missing_bars(friday, sunday, HOUR) == 0
    assert fx.is_open(friday)
    assert not fx.is_open(at(NEW_YORK, 2019, 5, 3, 17, 0))
    assert fx.is_open(sunday)
    assert fx.trading_day(sunday) == day(2019, 5, 6)
    # A night within the week is no pause.
    tuesday = at(NEW_YORK, 2019, 5, 7, 16, 0)
    assert fx.next_bar_start_ns(tuesday, HOUR) == tuesday + HOUR
    assert fx.trading_day(tuesday + HOUR) == fx.trading_day(tuesday) + 1


def test_fx_week_with_bars_of_christmas_does_not_miss_those_that_are_not_there(
    fx: Market,
) -> None:
    # As in the hourly EUR/USD of 2017: thin until the morning, then nothing until the evening.
    assert fx.missing_bars(at(UTC, 2017, 12, 25, 7), at(UTC, 2017, 12, 25, 22), HOUR) == 0


def test_always_open_counts_every_interval_without_a_bar() -> None:
    assert ALWAYS_OPEN.missing_bars(0, 2 * HOUR, HOUR) == 1
    assert ALWAYS_OPEN.missing_bars(0, 2 * HOUR + 1, HOUR) == 2
    assert ALWAYS_OPEN.missing_bars(5, 5, HOUR) == 0
    assert ALWAYS_OPEN.next_bar_start_ns(-7, HOUR) == HOUR - 7
    assert ALWAYS_OPEN.trading_day(-1) == -1
    assert ALWAYS_OPEN.is_open(0)


def test_missing_bars_over_years_equal_those_counted_one_by_one(nyse: Market) -> None:
    start = at(NEW_YORK, 2018, 6, 1, 9, 30)
    steps = [start]
    for _ in range(2_000):
        steps.append(nyse.next_bar_start_ns(steps[-1], HOUR))
    for index in (1, 7, 8, 500, 1_999):
        assert nyse.missing_bars(start, steps[index], HOUR) == index - 1


def test_missing_bars_with_a_bar_outside_the_sessions_counts_only_what_the_calendar_has(
    nyse: Market,
) -> None:
    martin_luther_king = at(NEW_YORK, 2019, 1, 21, 11, 0)
    tuesday = at(NEW_YORK, 2019, 1, 22, 10, 0)
    assert not nyse.is_open(martin_luther_king)
    assert nyse.next_bar_start_ns(martin_luther_king, 30 * MINUTE) == tuesday - 30 * MINUTE
    assert nyse.missing_bars(martin_luther_king, tuesday, 30 * MINUTE) == 1


def test_trading_days_of_many_times_are_those_of_each(nyse: Market) -> None:
    rng = np.random.default_rng(2)
    times = np.sort(rng.integers(at(UTC, 2000, 1, 1), at(UTC, 2020, 1, 1), 300))
    assert nyse.trading_days(times).tolist() == [nyse.trading_day(int(ts)) for ts in times]


def test_market_beyond_its_calendar_says_how_far_it_goes(nyse: Market) -> None:
    with pytest.raises(MarketDataError, match=r"XNYS goes from 1950-.* 2055-01-01T.* not in it"):
        nyse.is_open(at(UTC, 2055, 1, 1))


def test_weekly_pattern_that_ends_after_midnight_belongs_to_the_day_it_opens_on() -> None:
    globex = market_named("weekly/America/Chicago/Sun-Thu 17:00-16:00")
    sunday = at(ZoneInfo("America/Chicago"), 2019, 5, 5, 17)
    assert globex.is_open(sunday)
    assert globex.trading_day(sunday + 22 * HOUR) == day(2019, 5, 5)
    assert globex.next_bar_start_ns(sunday + 22 * HOUR, HOUR) == sunday + 24 * HOUR
    assert globex.bars_per_day(HOUR) == 23


@pytest.mark.parametrize(
    "name",
    [
        "NYSE2",
        "",
        "weekly/Mars/Mon-Fri 09:00-17:00",
        "weekly/UTC/Moo-Fri 09:00-17:00",
        "weekly/UTC/Mon-Fri 25:00-17:00",
        "weekly/UTC/Mon-Fri",
        "weekly/UTC/Mon 09:00-12:00,11:00-10:00",
    ],
)
def test_market_of_no_such_name_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(MarketDataError, match="there are always-open, fx-week"):
        market_named(name)


@pytest.mark.parametrize("interval_ns", [0, -1])
def test_market_with_bars_of_no_length_is_refused(interval_ns: int, nyse: Market) -> None:
    for market in (ALWAYS_OPEN, nyse):
        with pytest.raises(MarketDataError, match="interval_ns must be positive"):
            market.periods_per_year(interval_ns)
        with pytest.raises(MarketDataError, match="interval_ns must be positive"):
            market.next_bar_start_ns(0, interval_ns)


def test_market_by_its_alias_has_the_name_of_the_calendar(nyse: Market) -> None:
    assert market_named("NYSE") == nyse
    assert market_named("NYSE").name == "XNYS"
