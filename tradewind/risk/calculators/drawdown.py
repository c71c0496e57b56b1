"""Drawdown: how far the account is below its highest value, now, at worst and today.

    drawdown[t] = 1 − value[t] / max(value[0..t])

The first value counts as the first peak; all of the values given count, not a window. A value at
or below zero is a known loss: after a peak above zero, the drawdown is 1 or more. The daily
drawdown takes start_of_day_value as the day's first peak:
max(0, 1 − last value / start_of_day_value).
Durations are bars strictly under water. Source: A. Chekhlov, S. Uryasev, M. Zabarankin, "Drawdown
Measure in Portfolio Optimization", Int. J. Theor. Appl. Finance 8 (2005), definition 2.1, relative.
"""

from math import isfinite
from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_scalar, lacks_values, put, refuse
from tradewind.risk.engine.snapshot import HAS_START_OF_DAY_VALUE, START_OF_DAY_VALUE_AT
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    ABSENT,
    FIELD_SPAN,
    NOT_FINITE,
    PORTFOLIO_VALUES,
    START_OF_DAY_VALUE,
)

__all__ = ["DRAWDOWN", "DrawdownSettings"]

METRICS: Final = {
    "current_drawdown": "fraction of the peak",
    "max_drawdown": "fraction of the peak",
    "drawdown_duration_bars": "bars",
    "max_drawdown_duration_bars": "bars",
    "daily_drawdown": "fraction of the start of the day",
}


class DrawdownSettings(CalculatorSettings):
    """Drawdown has nothing to set."""


@compiled
def calculate_drawdown(
    config: Record, account: Record, header: FloatArray, out: FloatArray
) -> None:
    """Writes the metrics of METRICS."""
    first = config.drawdown
    if not lacks_values(account, out, first, 4, 1):
        put(out, first, 1.0 - account.last_value / account.peak)
        put(out, first + 1, account.max_drawdown)
        put(out, first + 2, float(account.underwater_bars))
        put(out, first + 3, float(account.max_underwater_bars))
    if account.value_count == 0:
        refuse(out, first + 4, 1, ABSENT * FIELD_SPAN + PORTFOLIO_VALUES, -1, 0)
    elif not isfinite(account.last_value):
        code, at = NOT_FINITE * FIELD_SPAN + PORTFOLIO_VALUES, account.value_count - 1
        refuse(out, first + 4, 1, code, at, 0)
    elif not lacks_scalar(header, out, first + 4, 1, HAS_START_OF_DAY_VALUE, START_OF_DAY_VALUE):
        loss = 1.0 - account.last_value / header[START_OF_DAY_VALUE_AT]
        put(out, first + 4, max(loss, 0.0))


DRAWDOWN: Final = CompiledCalculator(
    name="drawdown",
    version=1,
    order=10,
    settings=DrawdownSettings,
    metrics=lambda _: METRICS,
    kernel=calculate_drawdown,
    needs=("portfolio_values",),
    after=("values", "holdings"),
)
