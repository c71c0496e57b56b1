"""Volatility of the returns over a trailing window, annualised.

    volatility         = √( Σ (r − mean)² / (n − 1) ) · √periods_per_year
    ewma_volatility    = √σ²[n] · √periods_per_year
                         σ²[t] = λ σ²[t − 1] + (1 − λ) r²[t],  σ²[1] = r²[1]
    downside_deviation = √( Σ min(r − target, 0)² / n ) · √periods_per_year

Sources: J.P. Morgan/Reuters, "RiskMetrics – Technical Document", 4th ed. (1996), section 5.2, for
the exponential weights (its mean is 0, the recursion starts with the window's first return);
F. Sortino, R. van der Meer, "Downside Risk", J. Portfolio Management 17 (1991): the mean is over
all n returns, not over the losing ones.
"""

from math import isnan, nan, sqrt
from typing import Annotated, Final, Literal

from pydantic import Field

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.calculators.sums import (
    decayed_squares,
    squared_deviations,
    squared_shortfalls,
    total,
)
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_returns, lacks_scalar, put, refuse
from tradewind.risk.engine.snapshot import HAS_PERIODS_PER_YEAR, PERIODS_PER_YEAR_AT
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    FIELD_SPAN,
    PERIODS_PER_YEAR,
    SPACED_OTHERWISE,
    STATED_OTHERWISE,
    TIMESTAMPS,
)

__all__ = ["AUTO", "PERIODS_TOLERANCE", "VOLATILITY", "VolatilitySettings"]

METRICS: Final = {
    "volatility": "fraction / √year",
    "ewma_volatility": "fraction / √year",
    "downside_deviation": "fraction / √year",
}
AUTO: Final = "auto"
PERIODS_TOLERANCE: Final = 0.05
"""By how much two numbers of bars in a year may differ: years of 251 to 261 days are one."""

_SECONDS_PER_YEAR: Final = 365.0 * 86_400.0
_SPACINGS: Final = 8
# Where most of the latest bars are farther apart than four times the mean of a year that never
# closes, or closer than a twenty-fourth, no market has so many, or so few, of them.
_FARTHEST: Final = 4.0
_CLOSEST: Final = 1.0 / 24.0


class VolatilitySettings(CalculatorSettings):
    """Settings of volatility."""

    window_bars: int = Field(default=256, ge=2, le=1_000_000)
    """Returns looked back over."""

    min_returns: int = Field(default=20, ge=2)
    """Fewer returns than that give no volatility."""

    periods_per_year: Literal["auto"] | Annotated[float, Field(gt=0)] = AUTO
    """Bars in a year: "auto" takes those of the bars and their market, which are in the inputs; a
    number states them, such as 17520 half hours of a market that never closes."""

    ewma_lambda: float = Field(default=0.94, gt=0, lt=1)
    """Decay of the exponential weights, per bar."""

    target_return: float = 0.0
    """Return per bar below which a bar counts into the downside deviation."""


@compiled
def _periods_per_year(
    config: Record, header: FloatArray, timestamps: FloatArray, out: FloatArray
) -> float:
    """Bars in a year; NaN where they are not known, and then that has been answered."""
    first = config.volatility
    stated: float = config.volatility_periods_per_year
    if stated == 0.0 or header[HAS_PERIODS_PER_YEAR] != 0.0:
        if lacks_scalar(header, out, first, 3, HAS_PERIODS_PER_YEAR, PERIODS_PER_YEAR):
            return nan
        given: float = header[PERIODS_PER_YEAR_AT]
        if stated == 0.0:
            stated = given
        elif abs(given - stated) > PERIODS_TOLERANCE * stated:
            refuse(out, first, 3, STATED_OTHERWISE * FIELD_SPAN + PERIODS_PER_YEAR, -1, 0)
            return nan
    if _are_spaced_otherwise(timestamps, _SECONDS_PER_YEAR / stated):
        refuse(out, first, 3, SPACED_OTHERWISE * FIELD_SPAN + TIMESTAMPS, -1, 0)
        return nan
    return stated


@compiled
def _are_spaced_otherwise(timestamps: FloatArray, mean_spacing: float) -> bool:
    """Whether most of the latest bars are much farther apart, or much closer, than they can be."""
    if timestamps.size <= _SPACINGS:
        return False
    farther = closer = 0
    for index in range(timestamps.size - _SPACINGS, timestamps.size):
        spacing = timestamps[index] - timestamps[index - 1]
        farther += spacing > _FARTHEST * mean_spacing
        closer += spacing < _CLOSEST * mean_spacing
    return bool(max(farther, closer) > _SPACINGS // 2)


@compiled
def calculate_volatility(
    config: Record,
    account: Record,
    header: FloatArray,
    timestamps: FloatArray,
    returns: FloatArray,
    out: FloatArray,
) -> None:
    """Writes the metrics of METRICS."""
    first = config.volatility
    window = config.volatility_window_bars
    if lacks_returns(account, out, first, 3, config.volatility_min_returns, window):
        return
    periods = _periods_per_year(config, header, timestamps, out)
    if isnan(periods):
        return
    returns = returns[-min(window, returns.size) :]
    count = returns.size
    scale = sqrt(periods)
    decay = config.volatility_ewma_lambda
    variance = squared_deviations(returns, total(returns) / count) / (count - 1)
    # The recursion started with r²[1] and unrolled: r²[1] weighs λ^(n−1), the others (1−λ) λ^age.
    first_square = returns[0] * returns[0]
    ewma_variance = (1.0 - decay) * decayed_squares(returns, decay) + decay**count * first_square
    downside = squared_shortfalls(returns, config.volatility_target_return) / count
    put(out, first, sqrt(variance) * scale)
    put(out, first + 1, sqrt(ewma_variance) * scale)
    put(out, first + 2, sqrt(downside) * scale)


VOLATILITY: Final = CompiledCalculator(
    name="volatility",
    version=1,
    order=40,
    settings=VolatilitySettings,
    metrics=lambda _: METRICS,
    windows=lambda settings: {"returns": settings.window_bars, "timestamps": _SPACINGS + 1},
    kernel=calculate_volatility,
    needs=("returns",),
    after=("returns", "periods"),
)
