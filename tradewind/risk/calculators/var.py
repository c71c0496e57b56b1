"""Value at risk: the loss per bar that is exceeded with a probability of 5, 1 or 0.1 %.

    historical       quantile of the losses −r, linear between order statistics
    parametric       −(mean + σ z),  z the normal quantile of 1 − confidence, σ with n − 1
    cornish_fisher   −(mean + σ w(z)),
                     w(z) = z + (z² − 1) S / 6 + (z³ − 3 z) K / 24 − (2 z³ − 5 z) S² / 36

S and K are the sample's skewness and excess kurtosis (moments over n). The Cornish–Fisher
expansion is a quantile only where w rises with z everywhere; outside that domain the historical
value is given and a note says so. Sources: R. Hyndman, Y. Fan, "Sample Quantiles in Statistical
Packages", Am. Statistician 50 (1996), type 7; D. Maillard, "A User's Guide to the Cornish Fisher
Expansion" (2012), section 2, for the domain. A confidence needs 1 / (1 − confidence) returns.
"""

from math import sqrt
from statistics import NormalDist
from typing import Final, Literal

from pydantic import Field

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.calculators.order_statistics import (
    CONFIDENCES,
    MIN_RETURNS,
    upper_quantile,
)
from tradewind.risk.calculators.sums import squared_deviations, total
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import CODE, lacks_returns, put
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import OUTSIDE_CORNISH_FISHER_DOMAIN

__all__ = ["VAR", "VarSettings"]

METRICS: Final = {
    "var_95": "fraction / bar",
    "var_99": "fraction / bar",
    "var_999": "fraction / bar",
}
METHODS: Final = ("historical", "parametric", "cornish_fisher")
HISTORICAL: Final = METHODS.index("historical")
CORNISH_FISHER: Final = METHODS.index("cornish_fisher")
NORMAL_QUANTILES: Final = tuple(NormalDist().inv_cdf(1.0 - level) for level in CONFIDENCES)


class VarSettings(CalculatorSettings):
    """Settings of var."""

    window_bars: int = Field(default=1_024, ge=20, le=1_000_000)
    """Returns looked back over; var_999 needs 1,000."""

    method: Literal["historical", "parametric", "cornish_fisher"] = "historical"
    """How the quantile is estimated."""


@compiled
def calculate_var(
    config: Record, account: Record, returns: FloatArray, tail: FloatArray, out: FloatArray
) -> None:
    """Writes the metrics of METRICS.

    Args:
        config: Settings.
        account: The account.
        returns: Trailing returns, as many as any calculator looks back over, or more.
        tail: The largest losses of the window.
        out: The result.
    """
    first = config.var
    window = config.var_window_bars
    method = config.var_method
    count = min(window, returns.size)
    mean = deviation = skewness = kurtosis = 0.0
    if method != HISTORICAL and count > 1:
        mean, deviation, skewness, kurtosis = sample_moments(returns[-count:])
    in_domain = is_in_cornish_fisher_domain(skewness, kurtosis)
    for level in range(len(CONFIDENCES)):
        metric = first + level
        if lacks_returns(account, out, metric, 1, MIN_RETURNS[level], window):
            continue
        quantile = NORMAL_QUANTILES[level]
        if method == CORNISH_FISHER and in_domain:
            quantile = expand_quantile(quantile, skewness, kurtosis)
        if method == HISTORICAL or (method == CORNISH_FISHER and not in_domain):
            put(out, metric, upper_quantile(tail, count, CONFIDENCES[level]))
        else:
            put(out, metric, 0.0 - (mean + deviation * quantile))
        if method == CORNISH_FISHER and not in_domain:
            out[CODE, metric] = -OUTSIDE_CORNISH_FISHER_DOMAIN


@compiled
def sample_moments(returns: FloatArray) -> tuple[float, float, float, float]:
    """Mean, standard deviation (n − 1), skewness and excess kurtosis (both over n, 0 if flat)."""
    count = returns.size
    mean = total(returns) / count
    second = squared_deviations(returns, mean)
    third = fourth = 0.0
    for value in returns:
        centred = value - mean
        square = centred * centred
        third += square * centred
        fourth += square * square
    if second == 0.0:
        return mean, 0.0, 0.0, 0.0
    variance = second / count
    skewness = third / count / (variance * sqrt(variance))
    kurtosis = fourth / count / (variance * variance) - 3.0
    return mean, sqrt(second / (count - 1)), skewness, kurtosis


@compiled
def is_in_cornish_fisher_domain(skewness: float, kurtosis: float) -> bool:
    """Whether w(z) rises with z everywhere, so that it is a quantile function.

    w'(z) = a z² + b z + c must have no sign change: a ≥ 0, c > 0 and b² ≤ 4 a c.
    """
    a = kurtosis / 8.0 - skewness * skewness / 6.0
    b = skewness / 3.0
    c = 1.0 - kurtosis / 8.0 + 5.0 * skewness * skewness / 36.0
    return a >= 0.0 and c > 0.0 and b * b <= 4.0 * a * c


@compiled
def expand_quantile(quantile: float, skewness: float, kurtosis: float) -> float:
    """Cornish–Fisher expansion w of a normal quantile."""
    square = quantile * quantile
    return (
        quantile
        + (square - 1.0) * skewness / 6.0
        + quantile * (square - 3.0) * kurtosis / 24.0
        - quantile * (2.0 * square - 5.0) * skewness * skewness / 36.0
    )


VAR: Final = CompiledCalculator(
    name="var",
    version=1,
    order=50,
    settings=VarSettings,
    metrics=lambda _: METRICS,
    windows=lambda settings: {"returns": settings.window_bars},
    kernel=calculate_var,
    needs=("returns",),
    after=("returns",),
)
