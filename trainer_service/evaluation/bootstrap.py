"""Confidence intervals of series whose bars depend on each other, by resampling blocks of them.

The circular block bootstrap: D. Politis, J. Romano, "A Circular Block-Resampling Procedure for
Stationary Data", in "Exploring the Limits of Bootstrap" (1992). Blocks are resampled instead of
bars, so that volatility clusters and autocorrelation survive within a block.

The length of a block: D. Politis, H. White, "Automatic Block-Length Selection for the Dependent
Bootstrap", Econometric Reviews 23 (2004), as corrected by A. Patton, D. Politis and H. White,
Econometric Reviews 28 (2009).
"""

import math
from typing import Final

import numpy as np

from tradewind.market.bars import FloatArray

__all__ = ["automatic_block_length", "resample_sums"]

# Politis and White recommend c = 2, K = max(5, √log10 n), which is 5 for any series that fits in
# memory, and blocks of at most 3 √n bars.
_SIGNIFICANCE: Final = 2.0
_RUN: Final = 5
# Resampled at once, so that memory does not grow with the number of resamples: 16 MiB an array.
_BATCH_VALUES: Final = 2**21


def automatic_block_length(series: FloatArray) -> float:
    """Length of the blocks that estimates the variance of the mean of a series best.

    Args:
        series: A stationary series. Shape [n].

    Returns:
        At least 1, not rounded; 1 for a series that is constant or shorter than 10.
    """
    count = len(series)
    if count < 2 * _RUN or np.ptp(series) == 0.0:
        return 1.0
    centred = series - series.mean()
    variance = float(centred @ centred) / count
    lag_count = min(math.ceil(math.sqrt(count)) + _RUN, count - 1)
    covariances = np.array(
        [float(centred[lag:] @ centred[: count - lag]) / count for lag in range(lag_count + 1)]
    )
    bandwidth = min(2 * _insignificant_lag(covariances / variance, count), lag_count)
    lags = np.arange(1, bandwidth + 1)
    # Flat-top lag window: 1 up to half of the bandwidth, then falling to 0.
    weighted = np.minimum(1.0, 2.0 * (1.0 - lags / bandwidth)) * covariances[1 : bandwidth + 1]
    long_run_variance = variance + 2.0 * float(weighted.sum())
    slope = 2.0 * float(lags @ weighted)
    if long_run_variance == 0.0:
        return 1.0
    length = (1.5 * (slope / long_run_variance) ** 2 * count) ** (1.0 / 3.0)
    longest = math.ceil(min(3.0 * math.sqrt(count), count / 3.0))
    return float(np.clip(length, 1.0, longest))


def _insignificant_lag(correlations: FloatArray, count: int) -> int:
    """The first of a run of insignificant autocorrelations; the last lag when there is no run."""
    insignificant = np.abs(correlations) < _SIGNIFICANCE * math.sqrt(math.log10(count) / count)
    for lag in range(1, len(correlations) - _RUN + 1):
        if insignificant[lag : lag + _RUN].all():
            return lag
    return len(correlations) - 1


def resample_sums(
    series: FloatArray, block: int, resamples: int, generator: np.random.Generator
) -> FloatArray:
    """Sums over resamples of several series at once, each resample as long as the series.

    Whatever is a function of sums, such as means and variances, needs no resample itself: the sum
    over a block is the difference of two running totals.

    Args:
        series: Values that belong together stand in one row. Shape [n, k].
        block: Bars of a block; the last one is cut to fit.
        resamples: How many.
        generator: Draws the starts of the blocks, uniformly over the n bars; a block that reaches
            the end goes on at the beginning.

    Returns:
        Shape [resamples, k].
    """
    count = len(series)
    block = min(block, count)
    totals = np.zeros((count + block + 1, series.shape[1]))
    np.cumsum(np.concatenate([series, series[:block]]), axis=0, out=totals[1:])
    whole, rest = divmod(count, block)
    sums: FloatArray = np.empty((resamples, series.shape[1]))
    batch = max(1, _BATCH_VALUES // (whole * series.shape[1]))
    for first in range(0, resamples, batch):
        part = sums[first : first + batch]
        starts = generator.integers(count, size=(len(part), whole))
        part[:] = (totals[starts + block] - totals[starts]).sum(axis=1)
    last = generator.integers(count, size=resamples)
    sums += totals[last + rest] - totals[last]
    return sums
