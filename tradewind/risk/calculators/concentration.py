"""Concentration of the positions.

    weight[i]         = |notional[i]| / Σ |notional|
    herfindahl_index  = Σ weight²

An account without open positions has no weights, and both metrics are 0: the largest of none, the
sum over none. Source: O. Herfindahl (1950); A. Hirschman, Am. Economic Review 54 (1964).
"""

from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_positions, notional_of, put
from tradewind.risk.inputs import FloatArray

__all__ = ["CONCENTRATION", "ConcentrationSettings"]

METRICS: Final = {
    "max_position_weight": "fraction",
    "herfindahl_index": "fraction",
}


class ConcentrationSettings(CalculatorSettings):
    """Concentration has nothing to set."""


@compiled
def calculate_concentration(config: Record, positions: FloatArray, out: FloatArray) -> None:
    """Writes the metrics of METRICS."""
    first = config.concentration
    if lacks_positions(positions, out, first, 2):
        return
    count = positions.shape[0]
    gross = 0.0
    for position in range(count):
        gross += abs(notional_of(positions, position))
    heaviest = 0.0
    squares = 0.0
    if gross > 0.0:
        for position in range(count):
            weight = abs(notional_of(positions, position)) / gross
            heaviest = max(heaviest, weight)
            squares += weight * weight
    put(out, first, heaviest)
    put(out, first + 1, squares)


CONCENTRATION: Final = CompiledCalculator(
    name="concentration",
    version=1,
    order=80,
    settings=ConcentrationSettings,
    metrics=lambda _: METRICS,
    kernel=calculate_concentration,
    needs=("positions",),
    after=("holdings",),
)
