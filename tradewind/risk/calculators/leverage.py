"""Leverage of the positions.

    gross_leverage = Σ |notional| / capital_base
    net_leverage   = |Σ notional| / capital_base

Source: Commission Delegated Regulation (EU) 231/2013, articles 6 to 8, gross and commitment method,
without netting or hedging arrangements.
"""

from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_capital, lacks_positions, notional_of, put
from tradewind.risk.engine.snapshot import CAPITAL_BASE_AT
from tradewind.risk.inputs import FloatArray

__all__ = ["LEVERAGE", "LeverageSettings"]

METRICS: Final = {
    "gross_leverage": "capital",
    "net_leverage": "capital",
}


class LeverageSettings(CalculatorSettings):
    """Leverage has nothing to set."""


@compiled
def calculate_leverage(
    config: Record, header: FloatArray, positions: FloatArray, out: FloatArray
) -> None:
    """Writes the metrics of METRICS."""
    first = config.leverage
    if lacks_positions(positions, out, first, 2) or lacks_capital(header, out, first, 2):
        return
    gross = 0.0
    net = 0.0
    for position in range(positions.shape[0]):
        notional = notional_of(positions, position)
        gross += abs(notional)
        net += notional
    capital = header[CAPITAL_BASE_AT]
    put(out, first, gross / capital)
    put(out, first + 1, abs(net) / capital)


LEVERAGE: Final = CompiledCalculator(
    name="leverage",
    version=1,
    order=90,
    settings=LeverageSettings,
    metrics=lambda _: METRICS,
    kernel=calculate_leverage,
    needs=("positions", "capital_base"),
    after=("holdings",),
)
