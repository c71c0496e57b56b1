"""Longer bars: against pandas where the market never closes, by hand where it does."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from tests.unit.market.session_bars import session_bars
from tradewind.errors import MarketDataError
from tradewind.market import ALWAYS_OPEN, Bars, load_sample, market_named
from tradewind.market.resampling import length_ns

SECOND = 10**9
HALF_HOUR = 1_800


def at(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp()) * SECOND


def starts(bars: Bars) -> list[str]:
    return [str(time)[5:16] for time in bars.timestamps_ns.astype("datetime64[ns]")]


def notes(bars: Bars) -> str:
    assert bars.recognised is not None
    return "; ".join(bars.recognised.notes)


@pytest.mark.parametrize("length", ["1h", "2h", "4h", "12h", "1D"])
def test_resample_where_the_market_never_closes_equals_pandas_with_gaps_and_all(
    length: str,
) -> None:
    # From within a longer bar to within another.
    bars = load_sample("BTC").slice(1, 20_001)
    frame = pd.DataFrame(
        {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(bars.timestamps_ns),
    )
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    every = frame.resample(length).agg(how).dropna()
    expected = every.iloc[1:] if bars.timestamps_ns[0] % length_ns(length) else every
    if bars.close_times_ns[-1] % length_ns(length):
        expected = expected.iloc[:-1]
    found = bars.resample(length)
    assert found.interval_ns == length_ns(length)
    assert found.timestamps_ns.tolist() == expected.index.as_unit("ns").asi8.tolist()
    for name in ("open", "high", "low", "close"):
        assert getattr(found, name).tolist() == expected[name].tolist()
    np.testing.assert_allclose(found.volume, expected["volume"], rtol=1e-12)
    assert f"the first bar, of {every.index[0].isoformat()}+00:00, is left out" in notes(found)
    assert "bar(s) lack bars within them and are kept" in notes(found)


def test_resample_over_a_night_a_half_day_and_changed_clocks_stays_within_each_session() -> None:
    # Tuesday 3 July 2018 closes at 13:00 in New York, Wednesday is a holiday.
    bars = session_bars("XNYS", HALF_HOUR, 13 + 7 + 13, "2018-07-02T13:30:00", name=True)
    hours = bars.resample("1h")
    assert starts(hours) == [
        *(f"07-02T{hour}:30" for hour in range(13, 20)),
        *(f"07-03T{hour}:30" for hour in range(13, 17)),
        *(f"07-05T{hour}:30" for hour in range(13, 20)),
    ]
    assert hours.close[[6, 10, 17]].tolist() == bars.close[[12, 19, 32]].tolist()
    assert hours.volume[10] == bars.volume[19]  # 12:30 to 13:00 of the half day
    assert "3 bar(s) end with their session before their length" in notes(hours)
    assert "left out" not in notes(hours)
    days = bars.resample("1d")
    assert starts(days) == ["07-02T13:30", "07-03T13:30", "07-05T13:30"]
    assert days.open.tolist() == bars.open[[0, 13, 20]].tolist()
    assert days.high[1] == bars.high[13:20].max()
    assert days.volume.sum() == pytest.approx(bars.volume.sum(), rel=1e-12)
    # The week-end of 10 March 2019 sets the clocks forward: 9:30 is 14:30, then 13:30 UTC.
    spring = session_bars("XNYS", HALF_HOUR, 26, "2019-03-08T14:30:00", name=True).resample("2h")
    assert starts(spring) == [
        *(f"03-08T{hour}:30" for hour in (14, 16, 18, 20)),
        *(f"03-11T{hour}:30" for hour in (13, 15, 17, 19)),
    ]


def test_resample_over_a_lunch_break_begins_anew_after_it() -> None:
    bars = session_bars("XHKG", HALF_HOUR, 11, "2019-03-05T01:30:00", name=True)
    assert starts(bars.resample("2h")) == [
        f"03-05T{at}" for at in ("01:30", "03:30", "05:00", "07:00")
    ]


@pytest.mark.parametrize("length", ["1h", "90min", "2h", "4h", "1d"])
@pytest.mark.parametrize(
    ("market", "first", "count"),
    [
        ("XNYS", "2018-06-25T13:30:00", 13 * 7 + 7 + 13),  # with a half day
        ("XHKG", "2018-12-20T01:30:00", 11 * 2 + 5 + 11),  # the morning of Christmas Eve
        ("fx-week", "2019-03-03T22:00:00", 48 * 10),
    ],
)
def test_resampled_bars_follow_each_other_as_the_market_says(
    market: str, first: str, count: int, length: str
) -> None:
    longer = session_bars(market, HALF_HOUR, count, first, name=True).resample(length)
    assert longer.gaps() == ()
    assert "lack bars" not in notes(longer)
    assert "left out" not in notes(longer)


def test_resample_of_the_fx_week_over_a_change_of_clocks_follows_new_york() -> None:
    bars = session_bars("fx-week", 3_600, 24 * 10, "2019-03-03T22:00:00", name=True)
    four = bars.resample("4h")
    # Sunday 17:00 in New York is 22:00 UTC, after the change 21:00.
    assert starts(four)[:2] == ["03-03T22:00", "03-04T02:00"]
    assert starts(four)[30:32] == ["03-10T21:00", "03-11T01:00"]
    assert len(four) == 60
    assert starts(bars.resample("1d"))[4:6] == ["03-07T22:00", "03-10T21:00"]


def test_resample_of_full_hours_of_a_market_that_opens_at_half_past_begins_with_the_first() -> None:
    times = np.array([at(f"2019-03-05T{hour}:00:00") for hour in range(13, 22)])
    prices = np.arange(1.0, 10.0)
    market = market_named("XNYS")
    bars = Bars("A", times, prices, prices, prices, prices, prices, 3_600 * SECOND, market)
    found = bars.resample("2h")
    # 9:00 in New York straddles the opening; 8:00 and 16:00 are outside the hours.
    assert starts(found) == ["03-05T14:00", "03-05T16:00", "03-05T18:00", "03-05T20:00"]
    assert found.volume.tolist() == [5.0, 9.0, 13.0, 8.0]
    assert "2 bar(s) outside the hours of XNYS: left out" in notes(found)


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ("15min", "what happened within a bar is not known"),
        ("45min", "it must be a multiple"),
        ("2d", "a day is the longest"),
        ("150min", "it must divide a day"),
        ("soon", "a length of bars is such as 30min"),
        ("0h", "a length of bars is such as 30min"),
        (-1, "what happened within"),
    ],
)
def test_resample_to_a_length_that_cannot_be_is_refused(length: str | int, message: str) -> None:
    with pytest.raises(MarketDataError, match=message):
        load_sample("BTC").slice(0, 100).resample(length)


def test_resample_of_less_than_one_longer_bar_is_refused_and_says_why() -> None:
    bars = load_sample("BTC").slice(1, 9)
    with pytest.raises(MarketDataError, match=r"no whole bar of 86400 s .* within it"):
        bars.resample("1d")


def test_resample_to_the_length_that_they_have_changes_nothing() -> None:
    bars = load_sample("BTC").slice(0, 50)
    assert bars.market is ALWAYS_OPEN
    assert bars.resample("30min").digest == bars.digest


def test_resampled_bars_bear_the_adjustment_of_the_bar_that_ends_them() -> None:
    hours, split = 221, 216  # the tenth day has five bars, which are left out, and the split
    times = at("2020-01-01T00:00:00") + 3_600 * SECOND * np.arange(hours)
    adjustment = np.where(np.arange(hours) < split, 1.0, 2.0)
    flat = np.full(hours, 10.0)
    bars = Bars("X", times, flat, flat, flat, flat, flat, adjustment=adjustment)
    days = bars.resample("1d")
    assert days.adjustment is not None
    assert days.adjustment.tolist() == [1.0] * 9
