"""Deflated Sharpe ratio and bootstrap intervals."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer_service.evaluation import EvaluationConfig, bootstrap_figures, deflated_sharpe
from trainer_service.evaluation.luck import expected_best_sharpe, probabilistic_sharpe

Returns = NDArray[np.float64]
PERIODS = 250.0


def returns_of(mean: float, deviation: float, count: int, seed: int = 0) -> Returns:
    return np.random.default_rng(seed).normal(mean, deviation, count)


def test_deflated_sharpe_with_the_example_of_the_paper_gives_its_numbers() -> None:
    # Bailey and López de Prado (2014), section "A numerical example": an annualised Sharpe ratio of
    # 2.5 over 1,250 daily returns (250 a year), 100 trials whose Sharpe ratios have the variance
    # 1/2, skewness −3, kurtosis 10.
    sharpe = 2.5 / math.sqrt(250.0)

    benchmark = expected_best_sharpe(100, 0.5 / 250.0)

    assert benchmark == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(sharpe, benchmark, 1250, -3.0, 7.0) == pytest.approx(
        0.9004, abs=5e-5
    )
    with_46_trials = expected_best_sharpe(46, 0.5 / 250.0)
    assert probabilistic_sharpe(sharpe, with_46_trials, 1250, -3.0, 7.0) == pytest.approx(
        0.9505, abs=5e-5
    )
    with_88_trials = expected_best_sharpe(88, 0.5 / 250.0)
    assert probabilistic_sharpe(sharpe, with_88_trials, 1250, 0.0, 0.0) == pytest.approx(
        0.9505, abs=5e-4
    )


def test_expected_best_sharpe_with_many_trials_equals_the_mean_of_maxima() -> None:
    maxima = np.random.default_rng(1).normal(0.0, 0.5, (20_000, 50)).max(axis=1)

    assert expected_best_sharpe(50, 0.25) == pytest.approx(maxima.mean(), rel=0.02)
    assert expected_best_sharpe(1, 0.25) == 0.0


def test_deflated_sharpe_with_returns_equals_the_formula_on_their_moments() -> None:
    returns = np.random.default_rng(5).standard_t(4, 600) * 0.01 + 0.0005
    centred = returns - returns.mean()
    deviation = returns.std()
    skewness = (centred**3).mean() / deviation**3
    kurtosis = (centred**4).mean() / deviation**4
    sharpe = returns.mean() / returns.std(ddof=1)

    found = deflated_sharpe(returns, 20, 0.3, PERIODS)

    expected = probabilistic_sharpe(
        sharpe, expected_best_sharpe(20, 0.3 / PERIODS), 600, skewness, kurtosis - 3.0
    )
    assert found == pytest.approx(expected, rel=1e-9)


def test_deflated_sharpe_with_more_trials_is_lower() -> None:
    returns = returns_of(0.001, 0.01, 1000)

    found = [deflated_sharpe(returns, trials, None, PERIODS) for trials in (1, 10, 1000)]

    assert found == sorted(found, reverse=True)  # type: ignore[type-var]
    assert found[0] > 0.95 > found[2]  # type: ignore[operator]


def test_deflated_sharpe_of_unskilled_trials_is_uniform_for_one_and_low_for_the_best() -> None:
    returns = np.random.default_rng(2).normal(0.0, 0.01, (400, 500))
    best = max(returns, key=lambda row: row.mean() / row.std())

    single = np.array([deflated_sharpe(row, 1, None, PERIODS) for row in returns])

    assert np.mean(single > 0.95) == pytest.approx(0.05, abs=0.03)
    assert deflated_sharpe(best, 1, None, PERIODS) > 0.99  # type: ignore[operator]
    assert deflated_sharpe(best, 400, None, PERIODS) < 0.9  # type: ignore[operator]


@pytest.mark.parametrize("returns", [np.zeros(50), np.array([0.01])])
def test_deflated_sharpe_with_no_variation_is_none(returns: Returns) -> None:
    assert deflated_sharpe(returns, 1, None, PERIODS) is None


def test_bootstrap_figures_with_independent_returns_covers_the_truth_as_often_as_it_says() -> None:
    config = EvaluationConfig(confidence=0.9, resamples=400, block_bars=5)
    mean, deviation, count = 0.0004, 0.01, 250
    truth = mean / deviation * math.sqrt(PERIODS)
    covered = 0
    for seed in range(200):
        returns = returns_of(mean, deviation, count, seed)
        found = bootstrap_figures(returns, returns[::-1].copy(), PERIODS, config, seed)
        covered += found["sharpe_low"] <= truth <= found["sharpe_high"]

    assert covered / 200 == pytest.approx(0.9, abs=0.06)


def test_bootstrap_figures_with_equal_series_have_no_difference() -> None:
    returns = returns_of(0.001, 0.02, 300)

    found = bootstrap_figures(returns, returns, PERIODS, EvaluationConfig(), seed=1)

    assert found["excess_return_low"] == found["excess_return_high"] == 0.0
    assert found["excess_sharpe_low"] == found["excess_sharpe_high"] == 0.0
    total = np.prod(1.0 + returns) - 1.0
    assert found["return_low"] < total < found["return_high"]
    assert found["return_low"] == found["buy_and_hold_return_low"]


def test_bootstrap_figures_with_common_shocks_are_narrower_for_the_difference() -> None:
    market = returns_of(0.0, 0.02, 500, seed=1)
    policy = market + returns_of(0.001, 0.001, 500, seed=2)

    found = bootstrap_figures(policy, market, PERIODS, EvaluationConfig(), seed=1)

    assert found["excess_return_low"] > 0.0 > found["return_low"]
    assert found["excess_sharpe_high"] - found["excess_sharpe_low"] < 0.5 * (
        found["sharpe_high"] - found["sharpe_low"]
    )


def test_bootstrap_figures_with_a_flat_policy_have_no_sharpe() -> None:
    market = returns_of(0.0, 0.02, 200)

    found = bootstrap_figures(np.zeros(200), market, PERIODS, EvaluationConfig(), seed=1)

    assert (found["return_low"], found["return_high"]) == (0.0, 0.0)
    assert "sharpe_low" not in found
    assert "excess_sharpe_low" not in found
    assert "buy_and_hold_sharpe_low" in found


def test_bootstrap_figures_with_the_same_seed_are_equal() -> None:
    returns = returns_of(0.001, 0.02, 300)
    market = returns_of(0.0, 0.02, 300, seed=4)

    first, second, other = (
        bootstrap_figures(returns, market, PERIODS, EvaluationConfig(), seed) for seed in (1, 1, 2)
    )

    assert first == second != other
