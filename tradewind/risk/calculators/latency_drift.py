"""Drift of the tail of the order latencies.

    latency_drift = p99.9 of the latest orders / p99.9 of the orders before them − 1

Quantiles as for historical value at risk; either window needs 1,000 orders, so that its tail holds
one of them.
"""

from math import inf
from typing import Final

from pydantic import Field

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import Calculator, CalculatorSettings
from tradewind.risk.calculators.order_statistics import find_largest, tail_size, upper_quantile
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import put, refuse
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    ABSENT,
    BASELINE_NOT_POSITIVE,
    FIELD_SPAN,
    ORDER_LATENCIES,
    TOO_FEW,
)

__all__ = ["LATENCY_DRIFT", "LatencyDriftSettings"]

METRICS: Final = ("latency_drift",)
QUANTILE: Final = 0.999
MIN_ORDERS: Final = 1_000


class LatencyDriftSettings(CalculatorSettings):
    """Settings of latency_drift."""

    recent_orders: int = Field(default=1_000, ge=MIN_ORDERS, le=1_000_000)
    """The latest orders."""

    baseline_orders: int = Field(default=4_000, ge=MIN_ORDERS, le=1_000_000)
    """At most as many orders before them."""


LATENCY_DRIFT: Final = Calculator(
    name="latency_drift",
    version=1,
    settings=LatencyDriftSettings,
    metrics=lambda _: METRICS,
    windows=lambda settings: {
        "order_latencies_us": settings.recent_orders + settings.baseline_orders
    },
)


@compiled
def tail_latency(latencies: FloatArray, workspace: FloatArray) -> float:
    """Their 99.9 % quantile. Shape of the workspace [at least that of the latencies]."""
    tail = workspace[: tail_size(latencies.size, QUANTILE)]
    find_largest(tail, latencies, -inf)
    return upper_quantile(tail, latencies.size, QUANTILE)


@compiled
def calculate_latency_drift(
    config: Record,
    account: Record,
    latencies: FloatArray,
    workspace: FloatArray,
    out: FloatArray,
) -> None:
    """Writes the metrics of METRICS."""
    first = config.latency_drift
    recent = config.latency_drift_recent_orders
    orders = min(account.latency_count, recent + config.latency_drift_baseline_orders)
    if orders == 0:
        refuse(out, first, 1, ABSENT * FIELD_SPAN + ORDER_LATENCIES, -1, 0)
    elif orders < recent + MIN_ORDERS:
        needed = recent + MIN_ORDERS
        refuse(out, first, 1, TOO_FEW * FIELD_SPAN + ORDER_LATENCIES, orders, needed)
    elif account.bad_latency >= account.latency_count - orders:
        code = account.bad_latency_kind * FIELD_SPAN + ORDER_LATENCIES
        refuse(out, first, 1, code, account.bad_latency, 0)
    else:
        baseline = tail_latency(latencies[-orders:-recent], workspace)
        if baseline > 0.0:
            latest = tail_latency(latencies[-recent:], workspace)
            put(out, first, latest / baseline - 1.0)
        else:
            refuse(out, first, 1, BASELINE_NOT_POSITIVE * FIELD_SPAN + ORDER_LATENCIES, -1, 0)
