"""What is remembered of an account's whole history, and how one more bar or trade changes it.

The fold is the only code that builds this memory: `calculate_only` folds over whole arrays, a
tracker folds what is new, and since every step is the same the bits are too.
"""

from math import isfinite, nan
from typing import Any, Final, TypeAlias

import numpy as np

from tradewind.compiled import compiled
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import DECREASING, NOT_FINITE, NOT_INCREASING, NOT_POSITIVE

__all__ = ["ACCOUNT", "new_accounts"]

Record: TypeAlias = Any
"""One element of a structured array, as a kernel sees it."""

NONE: Final = -1
"""Index of the latest bad element of a series that has none."""

ACCOUNT: Final = np.dtype(
    [
        ("value_count", "i8"),
        ("bad_value", "i8"),  # index of the latest value that is not finite and positive
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
        ("trade_count", "i8"),
        ("last_trade_timestamp", "f8"),
    ],
    align=True,
)


def new_accounts(count: int) -> np.ndarray[Any, Any]:
    """Accounts that nothing is known of yet. Shape [count]."""
    accounts = np.zeros(count, dtype=ACCOUNT)
    for name in ("bad_value", "bad_timestamp", "bad_return"):
        accounts[name] = NONE
    for name in ("last_timestamp", "last_trade_timestamp"):
        accounts[name] = -np.inf
    return accounts


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
def find_time_violation(timestamps: FloatArray, previous: float, strict: bool) -> tuple[int, int]:
    """First index at which time goes back (or, if strict, stands still), and how: (−1, 0) if none.

    Elements that are not finite are passed over.
    """
    for index in range(timestamps.size):
        now = timestamps[index]
        if now < previous or (strict and now == previous):
            return index, NOT_INCREASING if strict else DECREASING
        if isfinite(now):
            previous = now
    return -1, 0


@compiled
def fold_timestamps(account: Record, timestamps: FloatArray) -> None:
    """Takes the timestamps of more bars."""
    for timestamp in timestamps:
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
