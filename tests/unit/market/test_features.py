import json
from typing import Any

import pytest

from tradewind.errors import SettingsError
from tradewind.market import FeatureSpec
from tradewind.market.feature_groups.range_volatility import RangeVolatility
from tradewind.market.features import BUILT_IN_GROUPS
from tradewind.settings import parse_settings


def test_default_spec_names_every_component_in_order() -> None:
    spec = FeatureSpec()
    assert spec.component_names == (
        *(f"log_return_lag_{lag}" for lag in range(15, -1, -1)),
        "volatility_16",
        "volatility_96",
        "rsi_14",
        "ema_ratio_8",
        "ema_ratio_24",
        "vwap_ratio_48",
        "time_of_day_sin",
        "time_of_day_cos",
        "position_exposure",
        "position_unrealized_return",
        "position_holding_time",
    )
    assert spec.observation_size == 27
    assert spec.market_size == 24


def test_smallest_spec_is_one_return() -> None:
    spec = FeatureSpec(
        return_count=1,
        volatility_windows=(),
        rsi_period=None,
        ema_periods=(),
        vwap_window=None,
        time_of_day=False,
        position=False,
    )
    assert spec.component_names == ("log_return_lag_0",)
    assert spec.lookback == 2


@pytest.mark.parametrize(
    ("changes", "lookback"),
    [
        ({}, 97),
        ({"return_count": 200}, 201),
        ({"volatility_windows": (16, 300)}, 301),
        ({"ema_periods": (50,)}, 200),
        ({"ema_periods": (50,), "ema_depth": 6}, 300),
        ({"rsi_period": 150}, 151),
        ({"vwap_window": 150}, 150),
    ],
)
def test_lookback_is_that_of_the_longest_feature(changes: dict[str, Any], lookback: int) -> None:
    assert FeatureSpec(**changes).lookback == lookback


def test_spec_through_json_is_the_same() -> None:
    spec = FeatureSpec(bar_seconds=60, volatility_windows=(5, 7), rsi_period=None, clip=3.5)
    rebuilt = FeatureSpec.model_validate(json.loads(json.dumps(spec.model_dump(mode="json"))))
    assert rebuilt == spec
    assert rebuilt.digest == spec.digest


@pytest.mark.parametrize("field", sorted(set(FeatureSpec.model_fields) - {"version"}))
def test_digest_with_any_field_changed_changes(field: str) -> None:
    spec = FeatureSpec()
    value = getattr(spec, field)
    changed = (
        not value
        if isinstance(value, bool)
        else value[:1]
        if value in [(16, 96), (8, 24)]
        else (RangeVolatility(),)
        if value == ()
        else value + 1
    )
    assert spec.model_copy(update={field: changed}).digest != spec.digest


@pytest.mark.parametrize(
    ("values", "violation"),
    [
        ({"version": 2}, "version"),
        ({"return_count": 0}, "return_count"),
        ({"return_count": 10**9}, "return_count"),
        ({"volatility_windows": [1]}, r"volatility_windows\[0\]"),
        ({"volatility_windows": [16, 16]}, "volatility_windows: .*only once"),
        ({"ema_periods": [8, 8]}, "ema_periods: .*only once"),
        ({"rsi_period": 1}, "rsi_period"),
        ({"ema_depth": 0}, "ema_depth"),
        ({"scale": 0.0}, "scale"),
        ({"scale": float("inf")}, "scale"),
        ({"clip": 0.5}, "clip"),
        ({"bar_seconds": 0}, "bar_seconds"),
        ({"rsi_perod": 14}, "rsi_perod"),
    ],
)
def test_spec_with_an_impossible_value_is_refused(values: dict[str, Any], violation: str) -> None:
    with pytest.raises(SettingsError, match=violation):
        parse_settings(values, FeatureSpec)


def test_every_setting_of_a_spec_belongs_to_one_group_with_a_version() -> None:
    settings = [name for group in BUILT_IN_GROUPS for name in group.settings]
    # `groups` has groups with versions of their own.
    assert sorted(settings) == sorted(set(FeatureSpec.model_fields) - {"version", "groups"})
    assert {group.version for group in BUILT_IN_GROUPS} == {1}
    assert len({group.name for group in BUILT_IN_GROUPS}) == len(BUILT_IN_GROUPS)
