"""Net sensitivities of the option positions.

    net_greek = max over underlyings of | Σ quantity · multiplier · greek |

Options on one underlying offset each other, options on different ones do not: units of different
assets cannot be added. Absolute values, so that a limit bounds the exposure in either direction.
Delta in units of the underlying, gamma per unit of price, vega per 1.00 of volatility, theta per
year; by the formulas in black_scholes. Positions in the underlying itself are not options and do
not count.
"""

from math import isnan
from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.calculators.black_scholes import greeks_of
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_options, put
from tradewind.risk.engine.snapshot import (
    DIVIDEND_YIELD,
    IS_CALL,
    MULTIPLIER,
    OPTION_QUANTITY_AT,
    RATE,
    STRIKE,
    UNDERLYING,
    UNDERLYING_PRICE,
    VOLATILITY_AT,
    YEARS,
)
from tradewind.risk.inputs import FloatArray

__all__ = ["GREEKS", "GreeksSettings"]

METRICS: Final = {
    "net_delta": "underlying",
    "net_gamma": "underlying / price",
    "net_vega": "value / volatility",
    "net_theta": "value / year",
}


class GreeksSettings(CalculatorSettings):
    """Greeks have nothing to set."""


@compiled
def calculate_greeks(
    config: Record, options: FloatArray, workspace: FloatArray, out: FloatArray
) -> None:
    """Writes the metrics of METRICS. Shape of the workspace [at least 4 × options]."""
    first = config.greeks
    if lacks_options(options, out, first, 4):
        return
    count = options.shape[0]
    net = workspace[: 4 * count]
    net[:] = 0.0
    for option in range(count):
        row = options[option]
        if row[OPTION_QUANTITY_AT] == 0.0:
            continue
        greeks = greeks_of(
            1.0 if row[IS_CALL] != 0.0 else -1.0,
            row[UNDERLYING_PRICE],
            row[STRIKE],
            row[YEARS],
            row[VOLATILITY_AT],
            row[RATE],
            row[DIVIDEND_YIELD],
        )
        units = row[OPTION_QUANTITY_AT] * row[MULTIPLIER]
        for greek in range(4):
            net[4 * int(row[UNDERLYING]) + greek] += units * greeks[greek]
    for greek in range(4):
        most = 0.0
        for underlying in range(count):
            size = abs(net[4 * underlying + greek])
            # What is not a number stays.
            if size > most or isnan(size):
                most = size
        put(out, first + greek, most)


GREEKS: Final = CompiledCalculator(
    name="greeks",
    version=1,
    order=160,
    settings=GreeksSettings,
    metrics=lambda _: METRICS,
    kernel=calculate_greeks,
    needs=("options",),
    after=("holdings",),
)
