"""Whether the mean of a series is not zero, asked after every value: peeking costs nothing.

An asymptotic confidence sequence: I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy, A. Ramdas,
"Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52
(2024), theorem 2.2. After t values with mean m and standard deviation s,

    m ± s · √(2 (t ρ² + 1) / (t² ρ²) · log(√(t ρ² + 1) / α))

holds the true mean at all times from some time on together, with probability 1 − α. It is the
inverse of a test by Robbins' normal mixture: the p-value below falls to α exactly when 0 leaves
the interval. ρ makes it narrowest at a chosen time t*:

    ρ = √((−2 log α + log(−2 log α) + 1) / t*)

Like the central limit theorem it needs no bound on the values and no normality, but values enough:
it says nothing before `first`. The values may depend on the past through their deviation; their
mean, given the past, must not, which is what differences of returns of two policies come near to.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ConfidenceSequence", "confidence_sequence"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ConfidenceSequence:
    """The intervals after each value, from the `first`-th on.

    Attributes:
        first: Values before the first interval.
        means: Running means. Shape [n], n values less first plus 1.
        lows: Lower ends. Shape [n].
        highs: Upper ends. Shape [n].
        p_values: Running minimum of the always-valid p-values of a mean of 0. Shape [n].
        decided_at: Values after which 0 was outside for the first time; None when it never was.
        sign: 1 when it was below the interval then, -1 above, 0 when it never was outside.
    """

    first: int
    means: FloatArray
    lows: FloatArray
    highs: FloatArray
    p_values: FloatArray
    decided_at: int | None
    sign: int


def confidence_sequence(
    values: FloatArray, *, alpha: float, first: int, best_at: int
) -> ConfidenceSequence:
    """Calculates the intervals after each value.

    Args:
        values: One after the other as they came in, finite. Shape [n].
        alpha: Probability of ever excluding the true mean.
        first: Values that are needed before the first interval, at least 2.
        best_at: Number of values at which the interval is to be narrowest; chosen beforehand.

    Raises:
        ValueError: An argument is out of its range, or a value is not finite.
    """
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must be above 0 and below 0.5: {alpha}")
    if first < 2 or best_at < 1:
        raise ValueError(f"first must be at least 2 and best_at at least 1: {first}, {best_at}")
    if not np.isfinite(values).all():
        raise ValueError("every value must be finite")
    if not len(values):
        raise ValueError("there are no values")
    counts = np.arange(1, len(values) + 1, dtype=np.float64)
    means = np.cumsum(values) / counts
    deviations = np.sqrt(_running_variance(values, means, counts))
    doubt = -2.0 * math.log(alpha)
    rho_squared = (doubt + math.log(doubt) + 1.0) / best_at
    mixed = counts * rho_squared + 1.0
    margins = (
        deviations
        / counts
        * np.sqrt(2.0 * mixed / rho_squared * (0.5 * np.log(mixed) - math.log(alpha)))
    )
    kept = slice(first - 1, None)
    means, margins, mixed = means[kept], margins[kept], mixed[kept]
    scaled = np.divide(
        (means * counts[kept]) ** 2,
        deviations[kept] ** 2,
        out=np.zeros(len(means)),
        where=deviations[kept] > 0.0,
    )
    log_evidence = rho_squared * scaled / (2.0 * mixed) - 0.5 * np.log(mixed)
    # Where nothing varies there is no evidence: two series that are equal, or a constant shift.
    outside = (np.abs(means) > margins) & (deviations[kept] > 0.0)
    at = int(outside.argmax()) if outside.any() else None
    return ConfidenceSequence(
        first=first,
        means=means,
        lows=means - margins,
        highs=means + margins,
        p_values=np.minimum.accumulate(np.exp(np.minimum(0.0, -log_evidence))),
        decided_at=None if at is None else first + at,
        sign=0 if at is None else int(np.sign(means[at])),
    )


def _running_variance(values: FloatArray, means: FloatArray, counts: FloatArray) -> FloatArray:
    """Variance (ddof 0) of the values so far, by Welford's recurrence: no later one counts."""
    before = np.concatenate([[0.0], means[:-1]])
    added = (values - before) ** 2 * (counts - 1.0) / counts
    variance: FloatArray = np.cumsum(added) / counts
    # What rounding leaves of a series that is constant so far.
    variance[variance < 1e-24 * np.maximum.accumulate(values**2)] = 0.0
    return variance
