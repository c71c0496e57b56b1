"""What is remembered of an account's whole history, and how something new changes it.

The folds are the only code that builds this memory: `calculate_only` folds over whole arrays, a
tracker folds what is new, and since every step is the same the bits are too.
"""

from math import inf, isfinite, nan
from typing import Any, Final, TypeAlias

import numpy as np

from tradewind.compiled import compiled
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    DECREASING,
    NEGATIVE,
    NOT_FINITE,
    NOT_INCREASING,
    NOT_POSITIVE,
    ORDER_FLOWS,
    PRICE_CHANGES,
)

__all__ = ["ACCOUNT", "Record", "reset_account"]

Record: TypeAlias = Any
"""One element of a structured array, as a kernel sees it."""

NONE: Final = -1
"""Index of the latest bad element of a series that has none."""

# A `bad_` field is the index of the latest element that nothing can be calculated from: a window
# is usable if it starts after that element.
ACCOUNT: Final = np.dtype(
    [
        ("value_count", "i8"),
        ("bad_value", "i8"),
        ("bad_value_kind", "i8"),
        ("last_value", "f8"),
        ("peak", "f8"),
        ("max_drawdown", "f8"),
        ("underwater_bars", "i8"),
        ("max_underwater_bars", "i8"),
        ("timestamp_count", "i8"),
        ("bad_timestamp", "i8"),
        ("last_timestamp", "f8"),
        ("return_count", "i8"),
        ("bad_return", "i8"),
        ("returns_given", "i8"),  # 0: derived from the values
        ("flow_count", "i8"),
        ("bad_flow", "i8"),
        ("bad_flow_field", "i8"),
        ("latency_count", "i8"),
        ("bad_latency", "i8"),
        ("bad_latency_kind", "i8"),
        ("trade_count", "i8"),
        ("last_trade_timestamp", "f8"),
        ("latest_time", "f8"),  # a tracker's; the latest `latest_time()` of its updates
    ],
    align=True,
)


@compiled
def reset_account(account: Record) -> None:
    """Forgets everything about one account."""
    account.value_count = 0
    account.bad_value = NONE
    account.bad_value_kind = 0
    account.last_value = nan
    account.peak = 0.0
    account.max_drawdown = 0.0
    account.underwater_bars = 0
    account.max_underwater_bars = 0
    account.timestamp_count = 0
    account.bad_timestamp = NONE
    account.last_timestamp = -inf
    account.return_count = 0
    account.bad_return = NONE
    account.returns_given = 0
    account.flow_count = 0
    account.bad_flow = NONE
    account.bad_flow_field = 0
    account.latency_count = 0
    account.bad_latency = NONE
    account.bad_latency_kind = 0
    account.trade_count = 0
    account.last_trade_timestamp = -inf
    account.latest_time = -inf


@compiled
def fold_value(account: Record, value: float) -> float:
    """Takes one more account value and returns its drawdown: 1 − value / running peak."""
    index = account.value_count
    account.value_count = index + 1
    account.last_value = value
    if not isfinite(value) or value <= 0.0:
        account.bad_value = index
        account.bad_value_kind = NOT_POSITIVE if isfinite(value) else NOT_FINITE
        return nan
    if value >= account.peak:
        account.peak = value
        account.underwater_bars = 0
        return 0.0
    drawdown: float = 1.0 - value / account.peak
    account.underwater_bars += 1
    account.max_drawdown = max(account.max_drawdown, drawdown)
    account.max_underwater_bars = max(account.max_underwater_bars, account.underwater_bars)
    return drawdown


@compiled
def simple_return(previous: float, value: float) -> float:
    """Simple return of one bar."""
    return value / previous - 1.0


@compiled
def fold_timestamp(account: Record, timestamp: float) -> None:
    """Takes the timestamp of one more bar."""
    if isfinite(timestamp):
        account.last_timestamp = timestamp
    else:
        account.bad_timestamp = account.timestamp_count
    account.timestamp_count += 1


@compiled
def fold_given_return(account: Record, value: float) -> None:
    """Takes one more return of those that the caller gives."""
    account.returns_given = 1
    if not isfinite(value):
        account.bad_return = account.return_count
    account.return_count += 1


@compiled
def fold_flow(account: Record, price_change: float, order_flow: float) -> None:
    """Takes one more interval's price change and order flow."""
    if not isfinite(price_change) or not isfinite(order_flow):
        account.bad_flow = account.flow_count
        account.bad_flow_field = ORDER_FLOWS if isfinite(price_change) else PRICE_CHANGES
    account.flow_count += 1


@compiled
def fold_latency(account: Record, latency: float) -> None:
    """Takes the latency of one more order."""
    if not isfinite(latency) or latency < 0.0:
        account.bad_latency = account.latency_count
        account.bad_latency_kind = NEGATIVE if isfinite(latency) else NOT_FINITE
    account.latency_count += 1


@compiled
def fold_trade(account: Record, timestamp: float) -> None:
    """Takes the time of one more trade."""
    account.last_trade_timestamp = timestamp
    account.trade_count += 1


@compiled
def find_bar_time_violation(timestamps: FloatArray, previous: float) -> tuple[int, int]:
    """Index of the first bar that is not later than the one before, and the kind: (−1, 0) if none.

    Timestamps that are not finite are passed over: metrics that need them are unavailable.
    """
    for index in range(timestamps.size):
        if timestamps[index] <= previous:
            return index, NOT_INCREASING
        if isfinite(timestamps[index]):
            previous = timestamps[index]
    return -1, 0


@compiled
def find_trade_time_violation(timestamps: FloatArray, previous: float) -> tuple[int, int]:
    """Index of the first trade without a time or before the one before it, and the kind."""
    for index in range(timestamps.size):
        if not isfinite(timestamps[index]):
            return index, NOT_FINITE
        if timestamps[index] < previous:
            return index, DECREASING
        previous = timestamps[index]
    return -1, 0
