"""What a policy sees of sessions, and of the time while the market was closed."""

import math

import numpy as np
import pytest

from tests.unit.market.session_bars import session_bars
from tradewind.errors import ComponentError, MarketDataError
from tradewind.market import Bars, FeaturePipeline, FeatureSpec, PositionState
from tradewind.market.feature_group import BarWindow
from tradewind.market.feature_groups.session import Session
from tradewind.market.testing import check_feature_group
from trainer_service import EnvironmentConfig, IntradayTradingEnv

WHOLE = EnvironmentConfig(episode_bars=None)
FLAT = PositionState(0.0, 0.0, 0)


def window_of(bars: Bars) -> BarWindow:
    return BarWindow(bars.timestamps_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)


def at(bars: Bars, text: str) -> int:
    (row,) = np.flatnonzero(bars.timestamps_ns == np.datetime64(text, "ns").astype(np.int64))
    return int(row)


def test_session_of_new_york_knows_nights_half_days_and_summer_time() -> None:
    bars = session_bars("XNYS", 1_800, 400, "2019-10-28T13:30")
    rows = Session(market="XNYS").rows(window_of(bars))
    elapsed, opening, closed_days, gap = rows.T
    # The same place in the session before and after the clocks change, which UTC has apart.
    assert elapsed[at(bars, "2019-11-01T15:00")] == elapsed[at(bars, "2019-11-04T16:00")] == 3 / 13
    assert elapsed[at(bars, "2019-11-29T17:30")] == 3.0 / 3.5  # the last half hour of a half day
    first_of_half_day = at(bars, "2019-11-29T14:30")
    assert closed_days[first_of_half_day] == 41.5 / 24.0  # Thanksgiving and its two nights
    assert closed_days[at(bars, "2019-12-02T14:30")] == 68.5 / 24.0
    firsts = np.flatnonzero(np.diff(bars.timestamps_ns) > bars.interval_ns) + 1
    assert np.flatnonzero(opening).tolist() == np.flatnonzero(closed_days).tolist()
    assert np.flatnonzero(opening).tolist() == firsts.tolist()
    expected = math.log(bars.open[first_of_half_day] / bars.close[first_of_half_day - 1])
    assert gap[first_of_half_day] == 100.0 * expected
    assert np.count_nonzero(gap[opening == 0.0]) == 0


def test_session_of_the_fx_week_begins_at_five_in_new_york_and_closes_for_the_week_end() -> None:
    bars = session_bars("fx-week", 3_600, 300, "2019-10-29T21:00")
    elapsed, opening, closed_days, _ = Session(market="fx-week").rows(window_of(bars)).T
    assert elapsed[0] == 0.0
    assert elapsed[at(bars, "2019-10-30T03:00")] == 0.25
    reopened = at(bars, "2019-11-03T22:00")  # New York has left summer time
    assert np.flatnonzero(opening).tolist() == [reopened, at(bars, "2019-11-10T22:00")]
    assert closed_days[reopened] == 49.0 / 24.0


def test_session_of_daily_bars_tells_a_week_end_from_a_night() -> None:
    bars = session_bars("XNYS", 86_400, 30, "2019-11-18T00:00")
    closed_days = Session(market="XNYS").rows(window_of(bars))[:, 2]
    assert closed_days[at(bars, "2019-11-19T00:00")] == 17.5 / 24.0
    assert closed_days[at(bars, "2019-11-25T00:00")] == 65.5 / 24.0
    assert closed_days[at(bars, "2019-11-29T00:00")] == 41.5 / 24.0


def test_session_of_a_market_that_never_closes_is_the_day() -> None:
    bars = session_bars("always-open", 3_600, 48, "2019-01-01T00:00")
    rows = Session(market="always-open").rows(window_of(bars))
    assert rows[:, 0].tolist() == [hour % 24 / 24 for hour in range(48)]
    assert not rows[:, 1:].any()


def test_session_without_a_market_takes_that_of_the_bars_in_training_and_production() -> None:
    bars = session_bars("XNYS", 1_800, 400, "2019-10-28T13:30")
    env = IntradayTradingEnv(bars, WHOLE, FeatureSpec(groups=(Session(),)))
    (group,) = env.feature_spec.groups
    assert isinstance(group, Session)
    assert group.market == "XNYS"
    check_feature_group(Session(), bars)
    # As a bundle has it, bar by bar.
    spec = FeatureSpec.read(env.feature_spec.model_dump(mode="json"))
    assert spec.digest == env.feature_spec.digest
    pipeline = FeaturePipeline(spec)
    rows = FeaturePipeline(spec).transform(bars)
    for row in range(len(bars)):
        pipeline.update(bars.bar(row))
        if row >= spec.lookback - 1:
            market_part = pipeline.observation(FLAT)[: spec.market_size]
            assert market_part.tobytes() == rows[row].tobytes()


def test_session_of_another_market_than_the_bars_is_refused() -> None:
    bars = session_bars("XNYS", 1_800, 400, "2019-10-28T13:30")
    by_alias = FeatureSpec(groups=(Session(market="NYSE"),))
    assert IntradayTradingEnv(bars, WHOLE, by_alias).feature_spec.groups == (
        Session(market="XNYS"),
    )
    spec = FeatureSpec(groups=(Session(market="fx-week"),))
    with pytest.raises(
        MarketDataError, match="market fx-week, these are of XNYS; leave its market"
    ):
        IntradayTradingEnv(bars, WHOLE, spec)


def test_session_of_no_market_says_how_to_give_it_one() -> None:
    bars = session_bars("XNYS", 1_800, 400, "2019-10-28T13:30")
    with pytest.raises(ComponentError, match="session needs a market: name one, or make an"):
        FeaturePipeline(FeatureSpec(groups=(Session(),))).transform(bars)
