"""Kyle's lambda: by how much the price moves per unit of signed order flow.

    price_change = α + λ · order_flow + ε        kyle_lambda = |λ|, kyle_lambda_r2 = R²

Ordinary least squares over the trailing window. Sources: A. Kyle, "Continuous Auctions and Insider
Trading", Econometrica 53 (1985); J. Hasbrouck, "Trading Costs and Returns for U.S. Equities",
J. Finance 64 (2009), for the regression.
"""

from typing import Final

from pydantic import Field

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import Calculator, CalculatorSettings
from tradewind.risk.calculators.sums import deviation_products, squared_deviations, total
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import put, refuse
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    ABSENT,
    CONSTANT,
    FIELD_SPAN,
    NOT_FINITE,
    ORDER_FLOWS,
    PRICE_CHANGES,
    TOO_FEW,
)

__all__ = ["KYLE_LAMBDA", "KyleLambdaSettings"]

METRICS: Final = ("kyle_lambda", "kyle_lambda_r2")


class KyleLambdaSettings(CalculatorSettings):
    """Settings of kyle_lambda."""

    window_intervals: int = Field(default=256, ge=3, le=1_000_000)
    """Intervals looked back over."""

    min_intervals: int = Field(default=30, ge=3)
    """Fewer intervals than that give no regression."""


KYLE_LAMBDA: Final = Calculator(
    name="kyle_lambda",
    version=1,
    settings=KyleLambdaSettings,
    metrics=lambda _: METRICS,
    windows=lambda settings: {
        "price_changes": settings.window_intervals,
        "order_flows": settings.window_intervals,
    },
)


@compiled
def _lacks_flows(config: Record, account: Record, out: FloatArray, metric: int) -> bool:
    start = max(account.flow_count - config.kyle_lambda_window_intervals, 0)
    intervals = account.flow_count - start
    needed = config.kyle_lambda_min_intervals
    if intervals == 0:
        refuse(out, metric, 2, ABSENT * FIELD_SPAN + PRICE_CHANGES, -1, 0)
    elif intervals < needed:
        refuse(out, metric, 2, TOO_FEW * FIELD_SPAN + PRICE_CHANGES, intervals, needed)
    elif account.bad_flow >= start:
        code = NOT_FINITE * FIELD_SPAN + account.bad_flow_field
        refuse(out, metric, 2, code, account.bad_flow, 0)
    else:
        return False
    return True


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
    if _lacks_flows(config, account, out, first):
        return
    count = min(config.kyle_lambda_window_intervals, order_flows.size)
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
