"""Bars too far from the last close: one rule for production and training."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from orchestrator.feeds import BarGuard, BarGuardSettings, FeedBar
from orchestrator.feeds.guard import BarFault
from tradewind.market import SAMPLE_SYMBOLS, Bars, load_sample
from tradewind.market.jumps import MAX_JUMP, JumpWarning, find_jumps, is_jump, warn_of_jumps
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv


def split(bars: Bars, at: int, factor: float) -> Bars:
    scale = np.where(np.arange(len(bars)) < at, 1.0, factor)
    prices = {name: getattr(bars, name) * scale for name in ("open", "high", "low", "close")}
    return replace(bars, **prices)


@pytest.fixture(scope="module")
def bars() -> Bars:
    return load_sample("BTC").slice(0, 400)


def test_rule_with_a_move_of_exactly_the_limit_lets_it_through() -> None:
    assert not is_jump(1.0, float(np.exp(0.25)), 1.0, 0.25 + 1e-12)
    assert is_jump(1.0, float(np.exp(0.25)), 1.0, 0.25 - 1e-12)
    assert is_jump(1.0, 1.0, float(np.exp(-0.25)), 0.25 - 1e-12)


@pytest.mark.parametrize("factor", [0.1, 1.0 / 3.0, 2.0, 25.0])
def test_split_is_found_where_the_guard_refuses_it(bars: Bars, factor: float) -> None:
    series = split(bars, 200, factor)
    guard = BarGuard(BarGuardSettings(), [series.symbol], series.interval_ns)
    refused = [
        index
        for index in range(len(series))
        if getattr(
            guard.check(
                FeedBar(series.symbol, series.bar(index), int(series.close_times_ns[index]))
            ),
            "fault",
            None,
        )
        is BarFault.JUMP
    ]
    assert find_jumps(series).tolist() == refused[:1] == [200]


def test_training_on_a_split_warns_of_the_row_and_says_the_cure(bars: Bars) -> None:
    with pytest.warns(JumpWarning, match=r"row 201 \(2017-.* max_jump if they are real") as said:
        IntradayTradingEnv(split(bars, 200, 0.1), EnvironmentConfig(episode_bars=None))
    assert "Adjust the prices for splits" in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        IntradayTradingEnv(
            split(bars, 200, 0.1), EnvironmentConfig(max_jump=3.0, episode_bars=None)
        )


@pytest.mark.parametrize("symbol", SAMPLE_SYMBOLS)
def test_samples_do_not_jump(symbol: str) -> None:
    assert find_jumps(load_sample(symbol)).size == 0


def test_many_jumps_are_counted_and_the_first_three_named(bars: Bars) -> None:
    series = bars
    for at in (50, 100, 150, 200, 250):
        series = split(series, at, 2.0)
    with pytest.warns(JumpWarning, match=r"5 bar\(s\) jump .*row 51 .*row 101 .*row 151 .*and 2"):
        warn_of_jumps(series, MAX_JUMP)
