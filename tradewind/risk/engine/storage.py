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
    NONE,
    Record,
    fold_flow,
    fold_given_return,
    fold_latency,
    fold_timestamp,
    fold_trade,
    fold_value,
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


class Increment(NamedTuple):
    """What is new in the series of one account, oldest first; the names are those of RiskInputs."""

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
def _push(buffer: FloatArray, ends: IntArray, series: int, value: float) -> None:
    if buffer.size == 0:
        return
    end = ends[series]
    if end == buffer.size:
        end //= 2
        buffer[:end] = buffer[end:]
    buffer[end] = value
    ends[series] = end + 1


@compiled
def append_value(storage: Storage, row: int, value: float) -> None:
    """Takes the account value of one more bar."""
    account = storage.accounts[row]
    previous = account.last_value
    drawdown = fold_value(account, value)
    _push(storage.drawdowns[row], storage.ends[row], DRAWDOWNS_END, drawdown)
    if account.returns_given == 0 and account.value_count > 1:
        _push(storage.returns[row], storage.ends[row], RETURNS_END, simple_return(previous, value))
        account.return_count += 1


@compiled
def append_timestamp(storage: Storage, row: int, timestamp: float) -> None:
    """Takes the timestamp of one more bar."""
    fold_timestamp(storage.accounts[row], timestamp)
    _push(storage.timestamps[row], storage.ends[row], TIMESTAMPS_END, timestamp)


@compiled
def append_return(storage: Storage, row: int, value: float) -> None:
    """Takes one more given return; the first one takes the place of those derived before."""
    account = storage.accounts[row]
    if account.returns_given == 0:
        account.return_count = 0
        account.bad_return = NONE
        storage.ends[row, RETURNS_END] = 0
    fold_given_return(account, value)
    _push(storage.returns[row], storage.ends[row], RETURNS_END, value)


@compiled
def append_flow(storage: Storage, row: int, price_change: float, order_flow: float) -> None:
    """Takes one more interval."""
    fold_flow(storage.accounts[row], price_change, order_flow)
    _push(storage.price_changes[row], storage.ends[row], PRICE_CHANGES_END, price_change)
    _push(storage.order_flows[row], storage.ends[row], ORDER_FLOWS_END, order_flow)


@compiled
def append_latency(storage: Storage, row: int, latency: float) -> None:
    """Takes one more order."""
    fold_latency(storage.accounts[row], latency)
    _push(storage.order_latencies_us[row], storage.ends[row], LATENCIES_END, latency)


@compiled
def append_trade(storage: Storage, row: int, timestamp: float, notional: float) -> None:
    """Takes one more trade; has_room_for_trades must have said yes."""
    fold_trade(storage.accounts[row], timestamp)
    end = storage.ends[row, TRADES_END]
    storage.trade_timestamps[row, end] = timestamp
    storage.trade_notionals[row, end] = notional
    storage.ends[row, TRADES_END] = end + 1


@compiled
def append(storage: Storage, row: int, new: Increment) -> None:
    """Takes everything that is new about one account."""
    for value in new.returns:
        append_return(storage, row, value)
    for value in new.portfolio_values:
        append_value(storage, row, value)
    for timestamp in new.timestamps:
        append_timestamp(storage, row, timestamp)
    for index in range(new.order_flows.size):
        append_flow(storage, row, new.price_changes[index], new.order_flows[index])
    for latency in new.order_latencies_us:
        append_latency(storage, row, latency)
    for index in range(new.trade_timestamps.size):
        append_trade(storage, row, new.trade_timestamps[index], new.trade_notionals[index])


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
