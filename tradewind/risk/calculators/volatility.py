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

from math import sqrt
from typing import Final

from pydantic import Field

from tradewind.compiled import compiled
from tradewind.risk.calculators.base import Calculator, CalculatorSettings
from tradewind.risk.calculators.sums import (
    decayed_squares,
    squared_deviations,
    squared_shortfalls,
    total,
)
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_returns, put
from tradewind.risk.inputs import FloatArray

__all__ = ["VOLATILITY", "VolatilitySettings"]

METRICS: Final = ("volatility", "ewma_volatility", "downside_deviation")


class VolatilitySettings(CalculatorSettings):
    """Settings of volatility."""

    window_bars: int = Field(default=256, ge=2, le=1_000_000)
    """Returns looked back over."""
    min_returns: int = Field(default=20, ge=2)
    """Fewer returns than that give no volatility."""
    periods_per_year: float = Field(default=17_520.0, gt=0)
    """Bars in a year: 17,520 half hours where the market never closes."""
    ewma_lambda: float = Field(default=0.94, gt=0, lt=1)
    """Decay of the exponential weights, per bar."""
    target_return: float = 0.0
    """Return per bar below which a bar counts into the downside deviation."""


VOLATILITY: Final = Calculator(
    name="volatility",
    settings=VolatilitySettings,
    metrics=lambda _: METRICS,
    windows=lambda settings: {"returns": settings.window_bars},
)


@compiled
def calculate_volatility(
    config: Record, account: Record, series: FloatArray, out: FloatArray
) -> None:
    """Writes the metrics of METRICS."""
    first = config.volatility
    window = config.volatility_window_bars
    if lacks_returns(account, out, first, 3, config.volatility_min_returns, window):
        return
    returns = series[-min(window, series.size) :]
    count = returns.size
    scale = sqrt(config.volatility_periods_per_year)
    decay = config.volatility_ewma_lambda
    variance = squared_deviations(returns, total(returns) / count) / (count - 1)
    # The recursion started with r²[1] and unrolled: r²[1] weighs λ^(n−1), the others (1−λ) λ^age.
    first_square = returns[0] * returns[0]
    ewma_variance = (1.0 - decay) * decayed_squares(returns, decay) + decay**count * first_square
    downside = squared_shortfalls(returns, config.volatility_target_return) / count
    put(out, first, sqrt(variance) * scale)
    put(out, first + 1, sqrt(ewma_variance) * scale)
    put(out, first + 2, sqrt(downside) * scale)
