"""Ulcer index: depth and length of drawdowns in one number.

    ulcer_index = √( Σ drawdown² / n )

over the trailing window; the drawdowns are those of the whole history (see drawdown), as positive
fractions. Source: P. Martin, B. McCann, "The Investor's Guide to Fidelity Funds" (1989), p. 81,
there in per cent.
"""

from math import sqrt
from typing import Final

from pydantic import Field

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.calculators.sums import squared_deviations
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_values, put
from tradewind.risk.inputs import FloatArray

__all__ = ["ULCER_INDEX", "UlcerIndexSettings"]

METRICS: Final = {
    "ulcer_index": "fraction",
}


class UlcerIndexSettings(CalculatorSettings):
    """Settings of ulcer_index."""

    window_bars: int = Field(default=256, ge=1, le=1_000_000)
    """Drawdowns looked back over."""


@compiled
def calculate_ulcer_index(
    config: Record, account: Record, drawdowns: FloatArray, out: FloatArray
) -> None:
    """Writes the metrics of METRICS."""
    first = config.ulcer_index
    if lacks_values(account, out, first, 1, 1):
        return
    window = drawdowns[-min(config.ulcer_index_window_bars, drawdowns.size) :]
    put(out, first, sqrt(squared_deviations(window, 0.0) / window.size))


ULCER_INDEX: Final = CompiledCalculator(
    name="ulcer_index",
    version=1,
    order=30,
    settings=UlcerIndexSettings,
    metrics=lambda _: METRICS,
    windows=lambda settings: {"drawdowns": settings.window_bars},
    kernel=calculate_ulcer_index,
    needs=("portfolio_values",),
    after=("values",),
)
