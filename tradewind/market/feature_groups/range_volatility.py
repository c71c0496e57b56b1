"""Volatility from highs and lows."""

import math
from typing import ClassVar

import numpy as np
from pydantic import Field

from tradewind.kernels.compiled import compiled
from tradewind.market.bars import FloatArray
from tradewind.market.feature_group import BarWindow, FeatureGroup

__all__ = ["RangeVolatility"]


@compiled
def _deviation(high: FloatArray, low: FloatArray) -> float:
    squares = 0.0
    for i in range(len(high)):
        squares += math.log(high[i] / low[i]) ** 2
    return math.sqrt(squares / (4.0 * math.log(2.0) * len(high)))


@compiled
def _deviations(high: FloatArray, low: FloatArray, window: int, out: FloatArray) -> None:
    for i in range(window - 1, len(high)):
        out[i, 0] = _deviation(high[i + 1 - window : i + 1], low[i + 1 - window : i + 1])


class RangeVolatility(FeatureGroup):
    """The standard deviation of log returns that the ranges of bars tell.

    √(Σ ln(high/low)² / (4 n ln 2)): of a random walk without drift or jumps, with a fifth of the
    variance of the estimate from closes (Parkinson, The Extreme Value Method for Estimating the
    Variance of the Rate of Return, 1980).
    """

    name: ClassVar[str] = "range_volatility"
    version: ClassVar[int] = 1

    window: int = Field(default=48, ge=1, le=10_000)
    """Bars that it is estimated from."""

    scale: float = Field(default=100.0, gt=0.0)
    """100 puts it in percent."""

    @property
    def lookback(self) -> int:
        """The window."""
        return self.window

    @property
    def component_names(self) -> tuple[str, ...]:
        """One."""
        return (f"range_volatility_{self.window}",)

    def row(self, window: BarWindow) -> list[float]:
        """The estimate."""
        return [_deviation(window.high, window.low) * self.scale]

    def rows(self, bars: BarWindow) -> FloatArray:
        """The estimates."""
        rows = np.zeros((len(bars.close), 1))
        _deviations(bars.high, bars.low, self.window, rows)
        return rows * self.scale
