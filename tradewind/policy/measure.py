"""Latency of a network alone, as a bundle records it at export."""

import os
import platform

import numpy as np
from numpy.typing import NDArray

from tradewind.bundle import SloRecord
from tradewind.constants import MAX_PREDICTION_LATENCY_US
from tradewind.policy.latency import LatencyHistogram
from tradewind.policy.protocol import Network

__all__ = ["measure_latency"]


def measure_latency(
    network: Network, observations: NDArray[np.float32], *, trials: int = 2000
) -> SloRecord:
    """Times one model compute per trial, in this process and thread, with nothing beside it.

    Args:
        network: The network; it is warmed up first.
        observations: [N, *shape], taken in turn.
        trials: Number of calls measured, at least 1.

    Raises:
        ValueError: There is no observation or no trial.
    """
    if not len(observations) or trials < 1:
        raise ValueError("at least one observation and one trial are needed")
    rows = [observations[index : index + 1].copy() for index in range(len(observations))]
    network.warm_up(observations)
    histogram = LatencyHistogram(int(MAX_PREDICTION_LATENCY_US * 1000))
    for trial in range(trials):
        _, elapsed = network.act(rows[trial % len(rows)])
        histogram.record(elapsed)
    latencies = histogram.snapshot()
    return SloRecord(
        where=f"in process, {network.runtime}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores",
        p50_us=latencies.percentile_ns(50.0) / 1000.0,
        p99_us=latencies.percentile_ns(99.0) / 1000.0,
        p999_us=latencies.percentile_ns(99.9) / 1000.0,
        trials=trials,
    )
