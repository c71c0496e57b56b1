"""Each formula against one written independently in NumPy, on real bars."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from tradewind.market import Bars, FeaturePipeline, FeatureSpec
from tradewind.market.feature_kernels import write_position_row

MakeBars = Callable[..., Bars]

SPEC = FeatureSpec(
    return_count=4,
    volatility_windows=(5, 20),
    rsi_period=14,
    ema_periods=(6,),
    ema_depth=3,
    vwap_window=12,
    clip=1000.0,
)


@pytest.fixture(scope="module")
def window(btc: Bars) -> Bars:
    return btc.slice(1000, 1000 + SPEC.lookback)


@pytest.fixture(scope="module")
def features(window: Bars) -> dict[str, float]:
    row = FeaturePipeline(SPEC).transform(window)[-1]
    return dict(zip(SPEC.market_component_names, row.tolist(), strict=True))


def assert_close(value: float, expected: float) -> None:
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_log_returns_are_in_percent_oldest_first(window: Bars, features: dict[str, float]) -> None:
    returns = 100.0 * np.diff(np.log(window.close))[-4:]
    for lag in range(4):
        assert_close(features[f"log_return_lag_{lag}"], returns[-1 - lag])


@pytest.mark.parametrize("count", [5, 20])
def test_volatility_is_the_sample_deviation_of_log_returns(
    window: Bars, features: dict[str, float], count: int
) -> None:
    returns = 100.0 * np.diff(np.log(window.close))[-count:]
    assert_close(features[f"volatility_{count}"], float(np.std(returns, ddof=1)))


def test_rsi_is_cutlers_between_minus_one_and_one(window: Bars, features: dict[str, float]) -> None:
    changes = np.diff(window.close)[-14:]
    relative_strength = changes[changes > 0].mean() * (changes > 0).sum()
    relative_strength /= -changes[changes < 0].sum()
    rsi = 100.0 - 100.0 / (1.0 + relative_strength)
    assert_close(features["rsi_14"], rsi / 50.0 - 1.0)


def test_ema_ratio_is_to_the_truncated_normalised_average(
    window: Bars, features: dict[str, float]
) -> None:
    ages = np.arange(18)
    weights = (1.0 - 2.0 / 7.0) ** ages
    ema = np.average(window.close[::-1][:18], weights=weights)
    assert_close(features["ema_ratio_6"], 100.0 * math.log(window.close[-1] / ema))


def test_vwap_ratio_is_to_the_volume_weighted_typical_price(
    window: Bars, features: dict[str, float]
) -> None:
    typical = ((window.high + window.low + window.close) / 3.0)[-12:]
    vwap = np.average(typical, weights=window.volume[-12:])
    assert_close(features["vwap_ratio_12"], 100.0 * math.log(window.close[-1] / vwap))


def test_time_of_day_is_that_of_the_newest_bars_start(
    window: Bars, features: dict[str, float]
) -> None:
    seconds = window.timestamps_ns[-1] // 10**9 % 86_400
    assert seconds % 1800 == 0
    angle = 2.0 * math.pi * seconds / 86_400
    assert_close(features["time_of_day_sin"], math.sin(angle))
    assert_close(features["time_of_day_cos"], math.cos(angle))


def last_row(bars: Bars, spec: FeatureSpec = SPEC) -> dict[str, float]:
    row = FeaturePipeline(spec).transform(bars)[-1]
    return dict(zip(spec.market_component_names, row.tolist(), strict=True))


def test_features_with_prices_standing_still_are_neutral(make_bars: MakeBars) -> None:
    price = np.full(30, 7.0)
    row = last_row(make_bars(30, close=price, high=price, low=price, open=price))
    assert row.pop("time_of_day_cos") != 0.0
    row.pop("time_of_day_sin")
    assert set(row.values()) == {0.0}


@pytest.mark.parametrize(("step", "rsi"), [(1.0, 1.0), (-1.0, -1.0)])
def test_rsi_with_prices_going_one_way_is_at_its_end(
    make_bars: MakeBars, step: float, rsi: float
) -> None:
    row = last_row(make_bars(30, close=100.0 + step * np.arange(30)))
    assert row["rsi_14"] == rsi


def test_vwap_ratio_with_no_volume_is_to_the_mean_typical_price(make_bars: MakeBars) -> None:
    close = 100.0 + np.arange(30.0)
    bars = make_bars(30, close=close, volume=np.zeros(30))
    typical = ((bars.high + bars.low + bars.close) / 3.0)[-12:]
    expected = 100.0 * math.log(close[-1] / typical.mean())
    assert_close(last_row(bars)["vwap_ratio_12"], expected)
    equal = last_row(make_bars(30, close=close, volume=np.full(30, 3.5)))["vwap_ratio_12"]
    assert_close(equal, expected)


def test_components_with_a_jump_are_clipped(make_bars: MakeBars) -> None:
    close = np.full(30, 100.0)
    close[-1] = 300.0
    row = last_row(make_bars(30, close=close), SPEC.model_copy(update={"clip": 10.0}))
    assert row["log_return_lag_0"] == 10.0
    assert row["volatility_5"] == 10.0
    assert row["ema_ratio_6"] == 10.0


def test_truncation_of_the_average_at_default_depth_leaves_out_what_the_spec_says() -> None:
    spec = FeatureSpec()
    for period in spec.ema_periods:
        left_out = (1.0 - 2.0 / (period + 1.0)) ** (period * spec.ema_depth)
        assert left_out < 0.00035


def test_position_that_is_not_a_number_stays_visible() -> None:
    row = np.zeros(3, dtype=np.float32)
    write_position_row(math.nan, math.nan, 5.0, 100.0, 10.0, 96, row)
    assert np.isnan(row[:2]).all()
