"""Kyle's lambda: by how much the price moves per unit of signed order flow.

    price_change = α + λ · order_flow + ε        kyle_lambda = |λ|, kyle_lambda_r2 = R²

Ordinary least squares over the trailing window. Sources: A. Kyle, "Continuous Auctions and Insider
Trading", Econometrica 53 (1985); J. Hasbrouck, "Trading Costs and Returns for U.S. Equities",
J. Finance 64 (2009), for the regression.
"""

from typing import Final

from pydantic import Field

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.calculators.sums import deviation_products, squared_deviations, total
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_flows, put, refuse
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import CONSTANT, FIELD_SPAN, ORDER_FLOWS, PRICE_CHANGES

__all__ = ["KYLE_LAMBDA", "KyleLambdaSettings"]

METRICS: Final = {
    "kyle_lambda": "price / flow",
    "kyle_lambda_r2": "fraction",
}


class KyleLambdaSettings(CalculatorSettings):
    """Settings of kyle_lambda."""

    window_intervals: int = Field(default=256, ge=3, le=1_000_000)
    """Intervals looked back over."""

    min_intervals: int = Field(default=30, ge=3)
    """Fewer intervals than that give no regression."""


@compiled
def _is_constant(values: FloatArray) -> bool:
    constant = True
    for value in values:
        constant = constant and value == values[0]
    return constant


@compiled
def calculate_kyle_lambda(
    config: Record,
    account: Record,
    price_changes: FloatArray,
    order_flows: FloatArray,
    out: FloatArray,
) -> None:
    """Writes the metrics of METRICS."""
    first = config.kyle_lambda
    window = config.kyle_lambda_window_intervals
    if lacks_flows(account, out, first, 2, config.kyle_lambda_min_intervals, window):
        return
    count = min(window, order_flows.size)
    flows = order_flows[-count:]
    changes = price_changes[-count:]
    if _is_constant(flows):
        refuse(out, first, 2, CONSTANT * FIELD_SPAN + ORDER_FLOWS, -1, 0)
        return
    mean_flow = total(flows) / count
    mean_change = total(changes) / count
    flow_squares = squared_deviations(flows, mean_flow)
    change_squares = squared_deviations(changes, mean_change)
    products = deviation_products(flows, changes, mean_flow, mean_change)
    put(out, first, abs(products / flow_squares))
    if _is_constant(changes):
        refuse(out, first + 1, 1, CONSTANT * FIELD_SPAN + PRICE_CHANGES, -1, 0)
    else:
        put(out, first + 1, min(products / flow_squares * (products / change_squares), 1.0))


KYLE_LAMBDA: Final = CompiledCalculator(
    name="kyle_lambda",
    version=1,
    order=100,
    settings=KyleLambdaSettings,
    metrics=lambda _: METRICS,
    windows=lambda settings: {
        "price_changes": settings.window_intervals,
        "order_flows": settings.window_intervals,
    },
    kernel=calculate_kyle_lambda,
    needs=("price_changes", "order_flows"),
    after=("flows",),
)
