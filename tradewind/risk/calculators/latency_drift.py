"""Drift of the tail of the order latencies.

    latency_drift = p99.9 of the latest orders / p99.9 of the orders before them − 1

Quantiles as for historical value at risk; either window needs 1,000 orders, so that its tail holds
one of them.
"""

from math import inf
from typing import Final

from pydantic import Field

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.calculators.order_statistics import find_largest, tail_size, upper_quantile
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_latencies, put, refuse
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import BASELINE_NOT_POSITIVE, FIELD_SPAN, ORDER_LATENCIES

__all__ = ["LATENCY_DRIFT", "LatencyDriftSettings"]

METRICS: Final = {
    "latency_drift": "fraction",
}
QUANTILE: Final = 0.999
MIN_ORDERS: Final = 1_000


class LatencyDriftSettings(CalculatorSettings):
    """Settings of latency_drift."""

    recent_orders: int = Field(default=1_000, ge=MIN_ORDERS, le=1_000_000)
    """The latest orders."""

    baseline_orders: int = Field(default=4_000, ge=MIN_ORDERS, le=1_000_000)
    """At most as many orders before them."""


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
    order_latencies_us: FloatArray,
    workspace: FloatArray,
    out: FloatArray,
) -> None:
    """Writes the metrics of METRICS."""
    first = config.latency_drift
    recent = config.latency_drift_recent_orders
    window = recent + config.latency_drift_baseline_orders
    if lacks_latencies(account, out, first, 1, recent + MIN_ORDERS, window):
        return
    orders = min(account.latency_count, window)
    baseline = tail_latency(order_latencies_us[-orders:-recent], workspace)
    if baseline > 0.0:
        latest = tail_latency(order_latencies_us[-recent:], workspace)
        put(out, first, latest / baseline - 1.0)
    else:
        refuse(out, first, 1, BASELINE_NOT_POSITIVE * FIELD_SPAN + ORDER_LATENCIES, -1, 0)


LATENCY_DRIFT: Final = CompiledCalculator(
    name="latency_drift",
    version=1,
    order=140,
    settings=LatencyDriftSettings,
    metrics=lambda _: METRICS,
    windows=lambda settings: {
        "order_latencies_us": settings.recent_orders + settings.baseline_orders
    },
    kernel=calculate_latency_drift,
    needs=("order_latencies_us",),
    after=("latencies",),
)
