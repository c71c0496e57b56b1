"""What is remembered of an account's whole history, and how something new changes it.

The folds are the only code that builds this memory: `calculate_only` folds over whole arrays, a
tracker folds what is new, and since every step is the same the bits are too.
"""

from math import inf, isfinite, nan
from typing import Any, Final, TypeAlias

import numpy as np

from tradewind.kernels.compiled import compiled
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    DECREASING,
    NEGATIVE,
    NO_PEAK,
    NOT_FINITE,
    NOT_INCREASING,
    ORDER_FLOWS,
    PRICE_CHANGES,
)

__all__ = ["ACCOUNT", "Record", "reset_account", "upgraded"]

Record: TypeAlias = Any
"""One element of a structured array, as a kernel sees it."""

NONE: Final = -1
"""Index of the latest bad element of a series that has none."""

INFINITY: Final = 0x7FF0_0000_0000_0000
MAGNITUDE: Final = 0x7FFF_FFFF_FFFF_FFFF
"""Bit pattern of infinity, and the bits of a double but its sign."""

LONGEST_PAUSE_S: Final = 366.0 * 86_400.0
"""Between two bars or trades, where nothing but their own times tells the time."""

# A `bad_` field is the index of the latest element that nothing can be calculated from: a window
# is usable if it starts after that element.
ACCOUNT: Final = np.dtype(
    [
        ("value_count", "i8"),
        ("bad_value", "i8"),
        ("bad_value_kind", "i8"),
        # The latest value at or below zero, which is known though no return follows from it, and
        # the latest such one before it.
        ("spent_value", "i8"),
        ("spent_value_before", "i8"),
        ("last_value", "f8"),
        ("peak", "f8"),
        ("max_drawdown", "f8"),
        ("underwater_bars", "i8"),
        ("max_underwater_bars", "i8"),
        ("timestamp_count", "i8"),
        ("bad_timestamp", "i8"),
        ("first_timestamp", "f8"),
        ("bar_after_pause", "i8"),  # the latest that is later by more than LONGEST_PAUSE_S
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
        # The first trade without a time or before the one before it; the first of any notional; the
        # first that is later than the one before it by more than LONGEST_PAUSE_S.
        ("bad_trade", "i8"),
        ("bad_trade_kind", "i8"),
        ("first_trade", "i8"),
        ("first_trade_timestamp", "f8"),
        ("trade_after_pause", "i8"),
        # A tracker's: the latest `latest_time()` of its updates, and whether it has a result.
        ("latest_time", "f8"),
        ("is_calculated", "i8"),
        ("periods_per_year", "f8"),  # that the last result is for; −inf: none
        # A tracker's: engine.losses.
        ("sorted_losses", "i8"),
        ("losses_sorted_until", "i8"),
    ],
    align=True,
)


def upgraded(accounts: Any) -> Any:
    """Saved accounts of an earlier release, with the fields that came since as in new accounts.

    A value at or below zero was unusable then, and stays so to the end of the account.
    """
    if not isinstance(accounts, np.ndarray) or accounts.dtype.names is None:
        return accounts
    names = accounts.dtype.names
    if names == ACCOUNT.names or not set(names) <= set(ACCOUNT.names or ()):
        return accounts
    full = np.zeros(accounts.shape, dtype=ACCOUNT)
    _reset_all(full)
    for name in names:
        full[name] = accounts[name]
    return full


@compiled
def _reset_all(accounts: Record) -> None:
    for row in range(accounts.size):
        reset_account(accounts[row])


@compiled
def reset_account(account: Record) -> None:
    """Forgets everything about one account."""
    account.value_count = 0
    account.bad_value = NONE
    account.bad_value_kind = 0
    account.spent_value = NONE
    account.spent_value_before = NONE
    account.last_value = nan
    account.peak = 0.0
    account.max_drawdown = 0.0
    account.underwater_bars = 0
    account.max_underwater_bars = 0
    account.timestamp_count = 0
    account.bad_timestamp = NONE
    account.first_timestamp = inf
    account.bar_after_pause = NONE
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
    account.bad_trade = NONE
    account.bad_trade_kind = 0
    account.first_trade = NONE
    account.first_trade_timestamp = inf
    account.trade_after_pause = NONE
    account.latest_time = -inf
    account.is_calculated = 0
    account.periods_per_year = -inf
    account.sorted_losses = 0
    account.losses_sorted_until = 0


@compiled
def fold_values(account: Record, values: FloatArray, drawdowns: FloatArray) -> None:
    """Takes the values of more bars.

    Args:
        account: The account.
        values: Shape [n].
        drawdowns: Filled with the latest of the drawdowns, 1 − value / running peak; NaN where the
            value is not finite or no peak above zero came before. Shape [at most n].
    """
    peak = account.peak
    deepest = account.max_drawdown
    underwater = account.underwater_bars
    longest = account.max_underwater_bars
    skipped = values.size - drawdowns.size
    for index in range(values.size):
        value = values[index]
        drawdown = 0.0
        at = account.value_count + index
        if not 0.0 < value < inf and not _is_known(account, at, value, peak):
            drawdown = nan
        elif value >= peak:
            peak = value
            underwater = 0
        else:
            drawdown = 1.0 - value / peak
            underwater += 1
            deepest = max(deepest, drawdown)
            longest = max(longest, underwater)
        if index >= skipped:
            drawdowns[index - skipped] = drawdown
    account.peak = peak
    account.max_drawdown = deepest
    account.underwater_bars = underwater
    account.max_underwater_bars = longest
    if values.size > 0:
        account.last_value = values[-1]
    account.value_count += values.size


@compiled
def _is_known(account: Record, at: int, value: float, peak: float) -> bool:
    """Whether a value that is not both finite and positive is a known loss; notes it."""
    if isfinite(value):
        account.spent_value_before = account.spent_value
        account.spent_value = at
        if peak > 0.0:
            return True
    account.bad_value = at
    account.bad_value_kind = NO_PEAK if isfinite(value) else NOT_FINITE
    return False


@compiled
def simple_return(previous: float, value: float) -> float:
    """Simple return of one bar."""
    return value / previous - 1.0


@compiled
def are_finite(values: FloatArray) -> bool:
    """Whether every value is finite; compares many at a time."""
    patterns = values.view(np.int64)
    largest = 0
    for index in range(values.size):
        largest = max(largest, patterns[index] & MAGNITUDE)
    return largest < INFINITY


@compiled
def _pauses(account: Record, timestamps: FloatArray) -> bool:
    """Whether some of finite times of bars come after a pause."""
    pauses = int(LONGEST_PAUSE_S < timestamps[0] - account.last_timestamp < inf)
    for index in range(1, timestamps.size):  # counted, so that many are compared at a time
        pauses += timestamps[index] - timestamps[index - 1] > LONGEST_PAUSE_S
    return pauses > 0


@compiled
def fold_timestamps(account: Record, timestamps: FloatArray) -> None:
    """Takes the timestamps of more bars."""
    if timestamps.size > 0 and are_finite(timestamps) and not _pauses(account, timestamps):
        account.first_timestamp = min(account.first_timestamp, timestamps[0])
        account.last_timestamp = timestamps[-1]
        account.timestamp_count += timestamps.size
        return
    for index in range(timestamps.size):
        if isfinite(timestamps[index]):
            if LONGEST_PAUSE_S < timestamps[index] - account.last_timestamp < inf:
                account.bar_after_pause = account.timestamp_count + index
            account.first_timestamp = min(account.first_timestamp, timestamps[index])
            account.last_timestamp = timestamps[index]
        else:
            account.bad_timestamp = account.timestamp_count + index
    account.timestamp_count += timestamps.size


@compiled
def fold_given_returns(account: Record, returns: FloatArray) -> None:
    """Takes more returns of those that the caller gives; they take the place of derived ones."""
    if returns.size > 0 and account.returns_given == 0:
        account.returns_given = 1
        account.return_count = 0
        account.bad_return = NONE
        account.sorted_losses = 0
        account.losses_sorted_until = 0
    for index in range(returns.size):
        if not isfinite(returns[index]):
            account.bad_return = account.return_count + index
    account.return_count += returns.size


@compiled
def fold_flows(account: Record, price_changes: FloatArray, order_flows: FloatArray) -> None:
    """Takes the price changes and order flows of more intervals."""
    usable = are_finite(price_changes) and are_finite(order_flows)
    for index in range(0 if usable else order_flows.size):
        if not isfinite(price_changes[index]):
            account.bad_flow = account.flow_count + index
            account.bad_flow_field = PRICE_CHANGES
        elif not isfinite(order_flows[index]):
            account.bad_flow = account.flow_count + index
            account.bad_flow_field = ORDER_FLOWS
    account.flow_count += order_flows.size


@compiled
def fold_latencies(account: Record, latencies: FloatArray) -> None:
    """Takes the latencies of more orders."""
    patterns = latencies.view(np.uint64)
    largest = np.uint64(0)
    for index in range(latencies.size):
        # Without a sign, the bit patterns of doubles from 0 on are in their order and those of all
        # others above, −0 too: then they are looked at one by one. This loop compares many at once.
        largest = max(largest, patterns[index])
    for index in range(latencies.size if largest >= np.uint64(INFINITY) else 0):
        if not 0.0 <= latencies[index] < inf:
            account.bad_latency = account.latency_count + index
            account.bad_latency_kind = NEGATIVE if isfinite(latencies[index]) else NOT_FINITE
    account.latency_count += latencies.size


@compiled
def fold_trades(account: Record, timestamps: FloatArray, notionals: FloatArray) -> None:
    """Takes the times of more trades."""
    latest = account.last_trade_timestamp
    for index in range(timestamps.size):
        timestamp, at = timestamps[index], account.trade_count + index
        if not isfinite(timestamp) or timestamp < latest:
            if account.bad_trade == NONE:
                account.bad_trade = at
                account.bad_trade_kind = DECREASING if isfinite(timestamp) else NOT_FINITE
            continue
        if account.first_trade == NONE and notionals[index] != 0.0:
            account.first_trade = at
            account.first_trade_timestamp = timestamp
        if account.trade_after_pause == NONE and LONGEST_PAUSE_S < timestamp - latest < inf:
            account.trade_after_pause = at
        latest = timestamp
    account.last_trade_timestamp = latest
    account.trade_count += timestamps.size


@compiled
def find_bar_time_violation(timestamps: FloatArray, previous: float) -> tuple[int, int]:
    """Index of the first bar that is not later than the one before, and the kind: (−1, 0) if none.

    Timestamps that are not finite are passed over: metrics that need them are unavailable.
    """
    later = 0
    for index in range(1, timestamps.size):
        later += timestamps[index] > timestamps[index - 1]
    # Looked at one by one only when that is needed: the loop above compares many at a time.
    if timestamps.size > 0 and timestamps[0] > previous and later == timestamps.size - 1:
        return -1, 0
    for index in range(timestamps.size):
        if timestamps[index] <= previous:
            return index, NOT_INCREASING
        if isfinite(timestamps[index]):
            previous = timestamps[index]
    return -1, 0
