"""How much of a result may be luck: bootstrap intervals and the deflated Sharpe ratio.

D. Bailey, M. López de Prado, "The Deflated Sharpe Ratio: Correcting for Selection Bias, Backtest
Overfitting, and Non-Normality", J. Portfolio Management 40 (2014).
"""

import math
from statistics import NormalDist
from typing import Final

import numpy as np

from tradewind.market.bars import FloatArray
from tradewind.risk.calculators.var import sample_moments
from trainer_service.evaluation.bootstrap import automatic_block_length, resample_sums
from trainer_service.evaluation.settings import EvaluationConfig

__all__ = ["bootstrap_figures", "deflated_sharpe", "expected_best_sharpe", "probabilistic_sharpe"]

_NORMAL: Final = NormalDist()
_EULER_MASCHERONI: Final = 0.5772156649015329


def expected_best_sharpe(trials: int, variance: float) -> float:
    """Sharpe ratio that the best of several trials without skill is expected to show.

    Args:
        trials: Independent trials.
        variance: Variance of their Sharpe ratios.
    """
    if trials == 1:
        return 0.0
    quantile = _NORMAL.inv_cdf
    return math.sqrt(variance) * (
        (1.0 - _EULER_MASCHERONI) * quantile(1.0 - 1.0 / trials)
        + _EULER_MASCHERONI * quantile(1.0 - 1.0 / (trials * math.e))
    )


def probabilistic_sharpe(
    sharpe: float, benchmark: float, count: int, skewness: float, excess_kurtosis: float
) -> float:
    """Probability that the true Sharpe ratio is above a benchmark.

    Args:
        sharpe: Sharpe ratio per bar, not annualised.
        benchmark: What it has to be above, per bar.
        count: Returns that it was calculated from.
        skewness: Of these returns.
        excess_kurtosis: Of these returns; 0 for a normal distribution.
    """
    spread = 1.0 - skewness * sharpe + (excess_kurtosis + 2.0) / 4.0 * sharpe**2
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt((count - 1) / spread))


def deflated_sharpe(
    returns: FloatArray, trials: int, variance: float | None, periods_per_year: float
) -> float | None:
    """Probability that the true Sharpe ratio is above what the best of the trials shows by luck.

    With one trial this is the probability that it is above 0.

    Args:
        returns: Simple returns per bar. Shape [n].
        trials: Configurations tried.
        variance: Variance of their annualised Sharpe ratios; None for that of trials without
            skill, 1 / (n − 1) per bar.
        periods_per_year: Bars in a year.

    Returns:
        A probability; None when there are fewer than two returns or none differs from the others.
    """
    count = len(returns)
    if count < 2:
        return None
    mean, deviation, skewness, excess_kurtosis = sample_moments(np.ascontiguousarray(returns))
    if deviation == 0.0:
        return None
    per_bar = 1.0 / (count - 1) if variance is None else variance / periods_per_year
    benchmark = expected_best_sharpe(trials, per_bar)
    return probabilistic_sharpe(mean / deviation, benchmark, count, skewness, excess_kurtosis)


def bootstrap_figures(
    policy: FloatArray,
    benchmark: FloatArray,
    periods_per_year: float,
    config: EvaluationConfig,
    seed: int,
) -> dict[str, float]:
    """Percentile intervals of a policy, of a benchmark, and of the difference between them.

    Both are resampled together, so that what moves both does not widen the difference.

    Args:
        policy: Simple returns per bar, all above −1. Shape [n].
        benchmark: Simple returns of the same bars. Shape [n].
        periods_per_year: Bars in a year.
        config: Confidence, resamples, block.
        seed: Seeds the resamples.

    Returns:
        For X in `return`, `sharpe`, `buy_and_hold_return`, `buy_and_hold_sharpe`,
        `excess_return` and `excess_sharpe` the ends `X_low` and `X_high`, and `block_bars`. A
        Sharpe ratio that one of the resamples does not have is left out.
    """
    block = config.block_bars or math.ceil(
        max(automatic_block_length(policy), automatic_block_length(benchmark))
    )
    series = np.stack(
        [part for returns in (policy, benchmark) for part in _summands(returns)], axis=1
    )
    sums = resample_sums(series, block, config.resamples, np.random.default_rng(seed))
    count = len(policy)
    total, sharpe = _statistics(sums[:, :3], count, periods_per_year)
    other_total, other_sharpe = _statistics(sums[:, 3:], count, periods_per_year)
    samples = {
        "return": total,
        "sharpe": sharpe,
        "buy_and_hold_return": other_total,
        "buy_and_hold_sharpe": other_sharpe,
        "excess_return": total - other_total,
        "excess_sharpe": sharpe - other_sharpe,
    }
    tail = (1.0 - config.confidence) / 2.0
    figures = {"block_bars": float(block)}
    for name, values in samples.items():
        if np.isfinite(values).all():
            low, high = np.quantile(values, [tail, 1.0 - tail])
            figures |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return figures


def _summands(returns: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    return np.log1p(returns), returns, returns**2


def _statistics(
    sums: FloatArray, count: int, periods_per_year: float
) -> tuple[FloatArray, FloatArray]:
    """Total return and annualised Sharpe ratio of each resample, NaN where nothing varies."""
    growth, total, squares = sums.T
    mean = total / count
    variance = (squares - total * mean) / (count - 1)
    # Rounding leaves a variance where all returns are equal.
    varies = variance > 1e-12 * squares / count
    sharpe = np.full(len(sums), np.nan)
    sharpe[varies] = mean[varies] * np.sqrt(periods_per_year / variance[varies])
    return np.expm1(growth), sharpe
