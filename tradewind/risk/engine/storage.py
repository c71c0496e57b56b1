"""The memory of a tracker: for each account its folds and the trailing window of each series.

Plain arrays with one row an account, so that one account, a batch of environments or a compiled
environment hold the same thing. The buffers of all series lie in one row after the other, each
twice as long as its window: elements are appended, and when a buffer is full its later half moves
to the front, so that a window is always contiguous and in order, as it is in whole arrays.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tradewind.errors import ConflictError
from tradewind.kernels.compiled import compiled, inlined
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
    upgraded,
)
from tradewind.risk.engine.losses import keep_losses_sorted, kept_losses
from tradewind.risk.engine.plan import Plan
from tradewind.risk.engine.state import SERIES, Series
from tradewind.risk.inputs import FloatArray

__all__ = [
    "Increment",
    "IntArray",
    "Storage",
    "append",
    "copy_storage",
    "grow_trades",
    "new_storage",
    "reset_row",
    "sort_losses",
]

IntArray: TypeAlias = NDArray[np.int64]

# Columns of `ends`: the series in the order of state.SERIES, then the trades.
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
        ends: Where the next element of each buffer goes, counted from the buffer's start. Shape
            [rows, 7].
        windows: The buffers of all series; config has their offsets. Shape [rows, size].
        trade_timestamps: Shape [rows, capacity].
        trade_notionals: Shape [rows, capacity].
        results: The last result of each account. Shape [rows, 4, metrics + 2].
        losses: Largest losses, sorted (engine.losses). Shape [rows, kept_losses(losses_window)].
    """

    accounts: Record
    ends: IntArray
    windows: FloatArray
    trade_timestamps: FloatArray
    trade_notionals: FloatArray
    results: FloatArray
    losses: FloatArray


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


def new_storage(plan: Plan, rows: int, config: np.ndarray[Any, Any]) -> Storage:
    """Memory of accounts that nothing is known of yet.

    Args:
        plan: What is calculated.
        rows: How many accounts.
        config: The plan's settings, or those of bars.
    """
    accounts: np.ndarray[Any, Any] = np.zeros(rows, dtype=ACCOUNT)
    size = sum(2 * int(config[f"{series}_window"][0]) for series in SERIES)
    storage = Storage(
        accounts=accounts,
        ends=np.zeros((rows, TRADES_END + 1), dtype=np.int64),
        windows=np.zeros((rows, size)),
        trade_timestamps=np.zeros((rows, INITIAL_TRADE_CAPACITY)),
        trade_notionals=np.zeros((rows, INITIAL_TRADE_CAPACITY)),
        results=np.repeat(plan.new_result()[np.newaxis], rows, axis=0),
        losses=np.zeros((rows, kept_losses(int(plan.config["losses_window"][0])))),
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


def copy_array(
    name: str, arrays: Mapping[str, Any], shape: tuple[int, ...], dtype: DTypeLike
) -> np.ndarray[Any, Any]:
    """A copy of a saved array that a kernel may go on with: none checks how long its arrays are.

    Raises:
        ConflictError: It is missing, or of another shape or type.
    """
    array = arrays.get(name)
    if not isinstance(array, np.ndarray) or (array.shape, array.dtype) != (shape, dtype):
        raise ConflictError(
            f"the state is that of another batch: {name} must be an array of shape {list(shape)} "
            f"and of {np.dtype(dtype)}"
        )
    return array.copy()


def copy_storage(arrays: Mapping[str, Any], like: Storage) -> Storage:
    """Memory with the contents of saved arrays.

    Args:
        arrays: By the names of the fields of Storage.
        like: Memory of as many accounts under the same plan; its trades may need another room.

    Raises:
        ConflictError: An array is missing, or of another shape or type.
    """
    room = max((*np.shape(arrays.get("trade_timestamps", ()))[-1:], INITIAL_TRADE_CAPACITY))
    trades = (like.accounts.size, room)
    shapes = {name: array.shape for name, array in like._asdict().items()}
    shapes |= {"trade_timestamps": trades, "trade_notionals": trades}
    arrays = {**arrays, "accounts": upgraded(arrays.get("accounts"))}
    return Storage(
        **{
            name: copy_array(name, arrays, shapes[name], array.dtype)
            for name, array in like._asdict().items()
        }
    )


@compiled
def reset_row(accounts: Record, ends: IntArray, row: int) -> None:
    """Forgets everything about one account."""
    reset_account(accounts[row])
    ends[row] = 0


@compiled
def has_room_for_trades(storage: Storage, row: int, count: int) -> bool:
    """Whether `count` more trades fit, once those that no horizon reaches have been dropped."""
    if storage.accounts[row].bad_trade >= 0:
        return True
    end = int(storage.ends[row, TRADES_END])
    capacity: int = storage.trade_timestamps.shape[1]
    if end + count <= capacity:
        return True
    timestamps, notionals = storage.trade_timestamps[row], storage.trade_notionals[row]
    oldest = storage.accounts[row].latest_time - TRADE_RETENTION_S
    dropped = 0
    while dropped < end and timestamps[dropped] <= oldest:
        dropped += 1
    for index in range(dropped, end):
        timestamps[index - dropped] = timestamps[index]
        notionals[index - dropped] = notionals[index]
    storage.ends[row, TRADES_END] = end - dropped
    return end - dropped + count <= capacity


@compiled
def _make_room(windows: FloatArray, offset: int, window: int, end: int) -> int:
    """Makes room for one more element of the buffer at an offset; returns where it goes."""
    if end < 2 * window:
        return end
    for index in range(offset, offset + window):
        windows[index] = windows[index + window]
    return window


@compiled
def _extend(windows: FloatArray, offset: int, window: int, end: int, values: FloatArray) -> int:
    """Appends to the buffer at an offset; returns its new end."""
    if window == 0:
        return end
    for index in range(values.size):
        end = _make_room(windows, offset, window, end)
        windows[offset + end] = values[index]
        end += 1
    return end


@compiled
def append_values(
    config: Record, account: Record, ends: IntArray, windows: FloatArray, values: FloatArray
) -> None:
    """Takes the account values of more bars, and derives returns unless they are given."""
    for index in range(values.size):
        previous, is_first = account.last_value, account.value_count == 0
        offset, window = config.drawdowns_offset, config.drawdowns_window
        kept = min(window, 1)
        end = _make_room(windows, offset, window, ends[DRAWDOWNS_END])
        drawdown = windows[offset + end : offset + end + kept]
        fold_values(account, values[index : index + 1], drawdown)
        ends[DRAWDOWNS_END] = end + kept
        if account.returns_given != 0 or is_first:
            continue
        offset, window = config.returns_offset, config.returns_window
        end = _make_room(windows, offset, window, ends[RETURNS_END])
        if window > 0:
            windows[offset + end] = simple_return(previous, values[index])
        ends[RETURNS_END] = end + min(window, 1)
        account.return_count += 1


@compiled
def append_given_returns(
    config: Record, account: Record, ends: IntArray, windows: FloatArray, returns: FloatArray
) -> None:
    """Takes more given returns; the first ones take the place of those derived before."""
    if returns.size > 0 and account.returns_given == 0:
        ends[RETURNS_END] = 0
    fold_given_returns(account, returns)
    offset, window = config.returns_offset, config.returns_window
    ends[RETURNS_END] = _extend(windows, offset, window, ends[RETURNS_END], returns)


@compiled
def append_timestamps(
    config: Record, account: Record, ends: IntArray, windows: FloatArray, timestamps: FloatArray
) -> None:
    """Takes the timestamps of more bars."""
    fold_timestamps(account, timestamps)
    offset, window = config.timestamps_offset, config.timestamps_window
    ends[TIMESTAMPS_END] = _extend(windows, offset, window, ends[TIMESTAMPS_END], timestamps)


@compiled
def append_orders(
    config: Record, account: Record, ends: IntArray, windows: FloatArray, new: Increment
) -> None:
    """Takes the flows of more intervals and the latencies of more orders."""
    fold_flows(account, new.price_changes, new.order_flows)
    offset, window = config.price_changes_offset, config.price_changes_window
    end = _extend(windows, offset, window, ends[PRICE_CHANGES_END], new.price_changes)
    ends[PRICE_CHANGES_END] = end
    offset, window = config.order_flows_offset, config.order_flows_window
    ends[ORDER_FLOWS_END] = _extend(windows, offset, window, ends[ORDER_FLOWS_END], new.order_flows)
    fold_latencies(account, new.order_latencies_us)
    offset, window = config.order_latencies_us_offset, config.order_latencies_us_window
    ends[LATENCIES_END] = _extend(
        windows, offset, window, ends[LATENCIES_END], new.order_latencies_us
    )


@compiled
def append_trades(
    storage: Storage, row: int, timestamps: FloatArray, notionals: FloatArray
) -> None:
    """Takes more trades; has_room_for_trades must have said yes."""
    fold_trades(storage.accounts[row], timestamps, notionals)
    if storage.accounts[row].bad_trade >= 0:  # nothing is calculated from them any more
        storage.ends[row, TRADES_END] = 0
        return
    end = storage.ends[row, TRADES_END]
    for index in range(timestamps.size):
        storage.trade_timestamps[row, end + index] = timestamps[index]
        storage.trade_notionals[row, end + index] = notionals[index]
    storage.ends[row, TRADES_END] = end + timestamps.size


@compiled
def append(config: Record, storage: Storage, row: int, new: Increment) -> None:
    """Takes everything that is new about one account."""
    account, ends, windows = storage.accounts[row], storage.ends[row], storage.windows[row]
    append_given_returns(config, account, ends, windows, new.returns)
    append_values(config, account, ends, windows, new.portfolio_values)
    append_timestamps(config, account, ends, windows, new.timestamps)
    if new.order_flows.size > 0 or new.order_latencies_us.size > 0:
        append_orders(config, account, ends, windows, new)
    if new.trade_timestamps.size > 0:
        append_trades(storage, row, new.trade_timestamps, new.trade_notionals)


@inlined
def _trailing(windows: FloatArray, offset: int, window: int, end: int) -> FloatArray:
    return windows[offset + max(end - window, 0) : offset + end]


@inlined
def trailing_series(config: Record, storage: Storage, row: int) -> Series:
    """The present windows of one account."""
    c, ends, windows = config, storage.ends[row], storage.windows[row]
    trades = ends[TRADES_END]
    return Series(
        _trailing(windows, c.timestamps_offset, c.timestamps_window, ends[TIMESTAMPS_END]),
        _trailing(windows, c.drawdowns_offset, c.drawdowns_window, ends[DRAWDOWNS_END]),
        _trailing(windows, c.returns_offset, c.returns_window, ends[RETURNS_END]),
        _trailing(windows, c.price_changes_offset, c.price_changes_window, ends[PRICE_CHANGES_END]),
        _trailing(windows, c.order_flows_offset, c.order_flows_window, ends[ORDER_FLOWS_END]),
        _trailing(
            windows, c.order_latencies_us_offset, c.order_latencies_us_window, ends[LATENCIES_END]
        ),
        storage.trade_timestamps[row, :trades],
        storage.trade_notionals[row, :trades],
        storage.losses[row, : max(storage.accounts[row].sorted_losses, 0)],
    )


def stored_series(config: Record, storage: Storage, row: int) -> dict[str, FloatArray]:
    """The present windows of one account by name, as `trailing_series` has them."""
    ends, windows = storage.ends[row].tolist(), storage.windows[row]
    found = {}
    for name, end in zip(SERIES, ends, strict=False):
        offset, window = int(config[f"{name}_offset"]), int(config[f"{name}_window"])
        found[name] = windows[offset + max(end - window, 0) : offset + end]
    for name in ("trade_timestamps", "trade_notionals"):
        found[name] = getattr(storage, name)[row, : ends[TRADES_END]]
    return found


@compiled
def sort_losses(config: Record, storage: Storage, row: int) -> None:
    """Brings the largest losses of one account up to date with its returns."""
    offset, end = config.returns_offset, storage.ends[row, RETURNS_END]
    returns = storage.windows[row, offset : offset + end]
    window = config.losses_window
    keep_losses_sorted(storage.accounts[row], window, returns, storage.losses[row])
