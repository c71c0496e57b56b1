"""The memory of a tracker: for each account its folds and the trailing window of each series.

Plain arrays with one row an account, so that one account, a batch of environments or a compiled
environment hold the same thing. A buffer is twice as long as its window: elements are appended, and
when it is full its later half moves to the front, so that a window is always contiguous and in
order, as it is in whole arrays.
"""

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradewind.compiled import compiled
from tradewind.risk.calculators.turnover import LONGEST_HORIZON_S
from tradewind.risk.engine.account import (
    ACCOUNT,
    Record,
    fold_flows,
    fold_given_returns,
    fold_latencies,
    fold_timestamps,
    fold_trades,
    fold_values,
    reset_account,
    simple_return,
)
from tradewind.risk.engine.plan import SERIES, Plan
from tradewind.risk.engine.state import Series
from tradewind.risk.inputs import FloatArray

__all__ = ["IntArray", "Storage", "append", "grow_trades", "new_storage", "reset_row"]

IntArray: TypeAlias = NDArray[np.int64]

# Columns of `ends`, in the order of plan.SERIES and then the trades.
TIMESTAMPS_END: Final = 0
DRAWDOWNS_END: Final = 1
RETURNS_END: Final = 2
PRICE_CHANGES_END: Final = 3
ORDER_FLOWS_END: Final = 4
LATENCIES_END: Final = 5
TRADES_END: Final = 6

INITIAL_TRADE_CAPACITY: Final = 256
TRADE_RETENTION_S: Final = 2.0 * LONGEST_HORIZON_S
"""Trades are kept for twice the longest horizon: the time may go back by one of them."""


class Storage(NamedTuple):
    """Memory of `rows` accounts.

    Attributes:
        accounts: Folds of the whole history. Shape [rows].
        ends: Where the next element of each buffer goes. Shape [rows, 7].
        timestamps: Shape [rows, 2 · window], as all buffers up to the trades.
        drawdowns: One for every value.
        returns: Given or derived.
        price_changes: One for every order flow.
        order_flows: One for every price change.
        order_latencies_us: One for every order.
        trade_timestamps: Shape [rows, capacity].
        trade_notionals: Shape [rows, capacity].
        results: The last result of each account. Shape [rows, 4, metrics + 2].
    """

    accounts: Record
    ends: IntArray
    timestamps: FloatArray
    drawdowns: FloatArray
    returns: FloatArray
    price_changes: FloatArray
    order_flows: FloatArray
    order_latencies_us: FloatArray
    trade_timestamps: FloatArray
    trade_notionals: FloatArray
    results: FloatArray


class Increment(NamedTuple):
    """What is new about one account, oldest first; the series have the names of RiskInputs.

    Attributes:
        holdings: Whether anything but the series and the time changed.
    """

    holdings: bool
    portfolio_values: FloatArray
    timestamps: FloatArray
    returns: FloatArray
    price_changes: FloatArray
    order_flows: FloatArray
    order_latencies_us: FloatArray
    trade_timestamps: FloatArray
    trade_notionals: FloatArray


def new_storage(plan: Plan, rows: int) -> Storage:
    """Memory of accounts that nothing is known of yet."""
    accounts: np.ndarray[Any, Any] = np.zeros(rows, dtype=ACCOUNT)
    buffers = {
        series: np.zeros((rows, 2 * int(plan.config[f"{series}_window"][0]))) for series in SERIES
    }
    storage = Storage(
        accounts=accounts,
        ends=np.zeros((rows, TRADES_END + 1), dtype=np.int64),
        **buffers,
        trade_timestamps=np.zeros((rows, INITIAL_TRADE_CAPACITY)),
        trade_notionals=np.zeros((rows, INITIAL_TRADE_CAPACITY)),
        results=np.repeat(plan.new_result()[np.newaxis], rows, axis=0),
    )
    for row in range(rows):
        reset_row(accounts, storage.ends, row)
    return storage


def grow_trades(storage: Storage) -> Storage:
    """The same memory with room for twice as many trades."""
    more = np.zeros_like(storage.trade_timestamps)
    return storage._replace(
        trade_timestamps=np.hstack([storage.trade_timestamps, more]),
        trade_notionals=np.hstack([storage.trade_notionals, more]),
    )


@compiled
def reset_row(accounts: Record, ends: IntArray, row: int) -> None:
    """Forgets everything about one account."""
    reset_account(accounts[row])
    ends[row] = 0


@compiled
def has_room_for_trades(storage: Storage, row: int, count: int) -> bool:
    """Whether `count` more trades fit, once those that no horizon reaches have been dropped."""
    ends = storage.ends[row]
    timestamps, notionals = storage.trade_timestamps[row], storage.trade_notionals[row]
    end = int(ends[TRADES_END])
    if end + count <= timestamps.size:
        return True
    oldest = storage.accounts[row].latest_time - TRADE_RETENTION_S
    dropped = 0
    while dropped < end and timestamps[dropped] <= oldest:
        dropped += 1
    for index in range(dropped, end):
        timestamps[index - dropped] = timestamps[index]
        notionals[index - dropped] = notionals[index]
    ends[TRADES_END] = end - dropped
    free: int = timestamps.size - (end - dropped)
    return count <= free


@compiled
def _extend(buffer: FloatArray, ends: IntArray, series: int, values: FloatArray) -> None:
    """Appends to a buffer, making room whenever it is full."""
    if buffer.size == 0:
        return
    end = ends[series]
    for index in range(values.size):
        if end == buffer.size:
            end //= 2
            buffer[:end] = buffer[end:]
        buffer[end] = values[index]
        end += 1
    ends[series] = end


@compiled
def append_values(storage: Storage, row: int, values: FloatArray) -> None:
    """Takes the account values of more bars, and derives returns unless they are given."""
    account = storage.accounts[row]
    previous = account.last_value
    is_first = account.value_count == 0
    drawdowns = np.empty(values.size)
    fold_values(account, values, drawdowns)
    _extend(storage.drawdowns[row], storage.ends[row], DRAWDOWNS_END, drawdowns)
    if account.returns_given != 0:
        return
    returns = drawdowns
    for index in range(values.size):
        returns[index] = simple_return(previous, values[index])
        previous = values[index]
    if is_first:
        returns = returns[1:]
    _extend(storage.returns[row], storage.ends[row], RETURNS_END, returns)
    account.return_count += returns.size


@compiled
def append_timestamps(storage: Storage, row: int, timestamps: FloatArray) -> None:
    """Takes the timestamps of more bars."""
    fold_timestamps(storage.accounts[row], timestamps)
    _extend(storage.timestamps[row], storage.ends[row], TIMESTAMPS_END, timestamps)


@compiled
def append_given_returns(storage: Storage, row: int, returns: FloatArray) -> None:
    """Takes more given returns; the first ones take the place of those derived before."""
    account = storage.accounts[row]
    if returns.size > 0 and account.returns_given == 0:
        storage.ends[row, RETURNS_END] = 0
    fold_given_returns(account, returns)
    _extend(storage.returns[row], storage.ends[row], RETURNS_END, returns)


@compiled
def append_trades(
    storage: Storage, row: int, timestamps: FloatArray, notionals: FloatArray
) -> None:
    """Takes more trades; has_room_for_trades must have said yes."""
    fold_trades(storage.accounts[row], timestamps)
    end = storage.ends[row, TRADES_END]
    for index in range(timestamps.size):
        storage.trade_timestamps[row, end + index] = timestamps[index]
        storage.trade_notionals[row, end + index] = notionals[index]
    storage.ends[row, TRADES_END] = end + timestamps.size


@compiled
def append(storage: Storage, row: int, new: Increment) -> None:
    """Takes everything that is new about one account."""
    account = storage.accounts[row]
    ends = storage.ends[row]
    append_given_returns(storage, row, new.returns)
    append_values(storage, row, new.portfolio_values)
    append_timestamps(storage, row, new.timestamps)
    fold_flows(account, new.price_changes, new.order_flows)
    _extend(storage.price_changes[row], ends, PRICE_CHANGES_END, new.price_changes)
    _extend(storage.order_flows[row], ends, ORDER_FLOWS_END, new.order_flows)
    fold_latencies(account, new.order_latencies_us)
    _extend(storage.order_latencies_us[row], ends, LATENCIES_END, new.order_latencies_us)
    append_trades(storage, row, new.trade_timestamps, new.trade_notionals)


@compiled
def _trailing(buffer: FloatArray, end: int) -> FloatArray:
    return buffer[max(end - buffer.size // 2, 0) : end]


@compiled
def trailing_series(storage: Storage, row: int) -> Series:
    """The present windows of one account."""
    ends = storage.ends[row]
    return Series(
        _trailing(storage.timestamps[row], ends[TIMESTAMPS_END]),
        _trailing(storage.drawdowns[row], ends[DRAWDOWNS_END]),
        _trailing(storage.returns[row], ends[RETURNS_END]),
        _trailing(storage.price_changes[row], ends[PRICE_CHANGES_END]),
        _trailing(storage.order_flows[row], ends[ORDER_FLOWS_END]),
        _trailing(storage.order_latencies_us[row], ends[LATENCIES_END]),
        storage.trade_timestamps[row, : ends[TRADES_END]],
        storage.trade_notionals[row, : ends[TRADES_END]],
    )
