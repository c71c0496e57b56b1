"""The feature is the same in training and in production, to the last bit."""

import numpy as np
import pytest
from stochastic_oscillator import StochasticOscillator

from tradewind.market import Bars, FeaturePipeline, FeatureSpec, load_sample
from tradewind.market.testing import check_feature_group


@pytest.mark.parametrize("window", [2, 14, 200])
def test_batch_is_bar_by_bar(window: int) -> None:
    check_feature_group(StochasticOscillator(window=window))


def test_standstill_gives_the_middle() -> None:
    same = np.full(150, 7.0)
    times = np.arange(150) * 1_800_000_000_000
    bars = Bars("STILL", times, open=same, high=same, low=same, close=same, volume=same)
    check_feature_group(StochasticOscillator(), bars)


def test_feature_is_part_of_an_observation() -> None:
    spec = FeatureSpec(groups=(StochasticOscillator(window=5),))
    bars = load_sample("ETH").slice(0, 300)
    rows = FeaturePipeline(spec).transform(bars)[:, spec.component_names.index("stochastic_5")]
    assert -1.0 <= np.nanmin(rows) < np.nanmax(rows) <= 1.0
    assert spec.model_dump(mode="json")["groups"] == [
        {"name": "stochastic_oscillator", "version": 1, "options": {"window": 5}}
    ]
