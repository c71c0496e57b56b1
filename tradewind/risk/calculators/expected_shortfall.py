"""Expected shortfall: the mean loss per bar of the worst 5 or 1 % of the bars.

    k  = (1 − confidence) n
    ES = ( Σ of the ⌈k⌉ − 1 largest losses + (k − ⌈k⌉ + 1) · the next one ) / k

The loss at the boundary counts with the fraction of it that belongs to the tail, so that the tail
holds exactly 1 − confidence of the probability. tail_ratio is ES over the historical value at risk,
both at 95 %. Source: R. T. Rockafellar, S. Uryasev, "Conditional value-at-risk for general loss
distributions", J. Banking & Finance 26 (2002), proposition 8. A confidence needs
1 / (1 − confidence) returns.
"""

from math import ceil
from typing import Final

from pydantic import Field

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.calculators.order_statistics import (
    CONFIDENCES,
    MIN_RETURNS,
    upper_quantile,
)
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_returns, put, refuse
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import FIELD_SPAN, VAR_NOT_POSITIVE

__all__ = ["EXPECTED_SHORTFALL", "ExpectedShortfallSettings"]

METRICS: Final = {
    "expected_shortfall_95": "fraction / bar",
    "tail_ratio": "ratio",
    "expected_shortfall_99": "fraction / bar",
}


class ExpectedShortfallSettings(CalculatorSettings):
    """Settings of expected_shortfall."""

    window_bars: int = Field(default=1_024, ge=20, le=1_000_000)
    """Returns looked back over."""


@compiled
def calculate_expected_shortfall(
    config: Record, account: Record, tail: FloatArray, out: FloatArray
) -> None:
    """Writes the metrics of METRICS.

    Args:
        config: Settings.
        account: The account.
        tail: The largest losses of the window.
        out: The result.
    """
    first = config.expected_shortfall
    window = config.expected_shortfall_window_bars
    if lacks_returns(account, out, first, 3, MIN_RETURNS[0], window):
        return
    count = min(window, account.return_count)
    shortfall = tail_mean(tail, count, CONFIDENCES[0])
    value_at_risk = upper_quantile(tail, count, CONFIDENCES[0])
    put(out, first, shortfall)
    if value_at_risk > 0.0:
        put(out, first + 1, shortfall / value_at_risk)
    else:
        refuse(out, first + 1, 1, VAR_NOT_POSITIVE * FIELD_SPAN, -1, 0)
    if not lacks_returns(account, out, first + 2, 1, MIN_RETURNS[1], window):
        put(out, first + 2, tail_mean(tail, count, CONFIDENCES[1]))


@compiled
def tail_mean(tail: FloatArray, count: int, confidence: float) -> float:
    """Mean of the worst (1 − confidence) · count losses, the boundary loss with its fraction."""
    weight = (1.0 - confidence) * count
    whole = max(ceil(weight) - 1, 0)
    total = 0.0
    for index in range(whole):
        total += tail[index]
    boundary: float = tail[whole]
    return (total + (weight - whole) * boundary) / weight


EXPECTED_SHORTFALL: Final = CompiledCalculator(
    name="expected_shortfall",
    version=1,
    order=60,
    settings=ExpectedShortfallSettings,
    metrics=lambda _: METRICS,
    windows=lambda settings: {"returns": settings.window_bars},
    kernel=calculate_expected_shortfall,
    needs=("returns",),
    after=("returns",),
)
