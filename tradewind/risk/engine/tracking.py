"""From what is new to a result: the kernels under RiskTracker and BatchRiskTracker."""

from math import isfinite, nan
from typing import Final

from tradewind.compiled import compiled, compiled_under_lock
from tradewind.risk.calculators.depth_shock import find_book_violation
from tradewind.risk.calculators.turnover import LONGEST_HORIZON_S, latest_time
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.arrays import contradict, find_time_violation
from tradewind.risk.engine.kernel import calculate
from tradewind.risk.engine.state import Touched, open_state
from tradewind.risk.engine.storage import (
    Increment,
    IntArray,
    Storage,
    append,
    append_timestamps,
    append_trades,
    append_values,
    has_room_for_trades,
    trailing_series,
)
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    FIELD_SPAN,
    GOES_BACK,
    NOT_INCREASING,
    NOT_ONE_PER_VALUE,
    NOW,
    TIMESTAMPS,
)

__all__ = ["NEEDS_ROOM", "update_batch", "update_row"]

NEEDS_ROOM: Final = -2
"""Nothing was changed: the trades need more room first."""


@compiled_under_lock
def update_row(
    config: Record,
    limits: FloatArray,
    shocks: FloatArray,
    accounts: Record,
    ends: IntArray,
    windows: FloatArray,
    trade_timestamps: FloatArray,
    trade_notionals: FloatArray,
    results: FloatArray,
    row: int,
    snapshot: FloatArray,
    new_holdings: bool,
    new_values: FloatArray,
    new_timestamps: FloatArray,
    new_returns: FloatArray,
    new_price_changes: FloatArray,
    new_order_flows: FloatArray,
    new_order_latencies_us: FloatArray,
    new_trade_timestamps: FloatArray,
    new_trade_notionals: FloatArray,
    problem: FloatArray,
) -> int:
    """Takes what is new about one account and brings its result up to date.

    The arguments are the fields of Storage and of Increment one by one: a tuple takes longer to
    cross into a kernel than its elements do.

    Returns:
        How many metrics are unavailable or have a note; CONTRADICTION (`problem` says which, as
        column 0 of a result) or NEEDS_ROOM, and then nothing was taken.
    """
    storage = Storage(accounts, ends, windows, trade_timestamps, trade_notionals, results)
    new = Increment(
        new_holdings,
        new_values,
        new_timestamps,
        new_returns,
        new_price_changes,
        new_order_flows,
        new_order_latencies_us,
        new_trade_timestamps,
        new_trade_notionals,
    )
    code, at, other = _find_increment_violation(accounts[row], snapshot, new)
    if code == 0 and new_holdings:
        state = open_state(
            accounts[row : row + 1], trailing_series(config[0], storage, row), snapshot, shocks
        )
        code, at, other = find_book_violation(state.books, state.levels)
    if code != 0:
        return contradict(problem, code, at, other)
    if not has_room_for_trades(storage, row, new_trade_timestamps.size):
        return NEEDS_ROOM
    append(config[0], storage, row, new)
    touched = Touched(
        new_values.size > 0,
        new_values.size > 0 or new_returns.size > 0,
        new_order_flows.size > 0,
        new_order_latencies_us.size > 0,
        new_holdings,
    )
    return calculate_row(config[0], limits, shocks, storage, row, snapshot, touched)


@compiled
def calculate_row(
    config: Record,
    limits: FloatArray,
    shocks: FloatArray,
    storage: Storage,
    row: int,
    snapshot: FloatArray,
    touched: Touched,
) -> int:
    """Brings the result of one account up to date with its present state."""
    account = storage.accounts[row]
    now = latest_time(account, snapshot)
    if isfinite(now):
        account.latest_time = max(account.latest_time, now)
    if account.is_calculated == 0:
        touched = Touched(True, True, True, True, True)
        account.is_calculated = 1
    series = trailing_series(config, storage, row)
    state = open_state(storage.accounts[row : row + 1], series, snapshot, shocks)
    return calculate(config, limits, state, touched, storage.results[row])


@compiled
def _find_increment_violation(
    account: Record, header: FloatArray, new: Increment
) -> tuple[int, int, int]:
    """Code, index and inner index of the first contradiction in time; code 0 if there is none."""
    code, at = find_time_violation(
        new.timestamps, account.last_timestamp, new.trade_timestamps, account.last_trade_timestamp
    )
    if code != 0:
        return code, at, -1
    is_later = new.portfolio_values.size > 0 and account.value_count > 0
    if is_later and (new.timestamps.size > 0) != (account.timestamp_count > 0):
        return NOT_ONE_PER_VALUE * FIELD_SPAN + TIMESTAMPS, -1, -1
    latest = latest_time(account, header)
    for timestamp in new.timestamps:
        if timestamp > latest:
            latest = timestamp
    for timestamp in new.trade_timestamps:
        if timestamp > latest:
            latest = timestamp
    if isfinite(latest) and latest < account.latest_time - LONGEST_HORIZON_S:
        return GOES_BACK * FIELD_SPAN + NOW, -1, -1
    return 0, -1, -1


@compiled
def _find_bar_violation(
    account: Record, header: FloatArray, timestamp: float, has_timestamp: bool
) -> int:
    """Code of what makes one more bar of an account a contradiction; 0 if nothing does."""
    if account.value_count > 0 and has_timestamp != (account.timestamp_count > 0):
        return NOT_ONE_PER_VALUE * FIELD_SPAN + TIMESTAMPS
    if timestamp <= account.last_timestamp:
        return NOT_INCREASING * FIELD_SPAN + TIMESTAMPS
    latest = latest_time(account, header)
    if timestamp > latest:
        latest = timestamp
    if isfinite(latest) and latest < account.latest_time - LONGEST_HORIZON_S:
        return GOES_BACK * FIELD_SPAN + NOW
    return 0


@compiled
def update_batch(
    config: Record,
    limits: FloatArray,
    shocks: FloatArray,
    accounts: Record,
    ends: IntArray,
    windows: FloatArray,
    trade_timestamps: FloatArray,
    trade_notionals: FloatArray,
    results: FloatArray,
    snapshots: FloatArray,
    new_holdings: bool,
    new_values: FloatArray,
    new_timestamps: FloatArray,
    new_trade_notionals: FloatArray,
    problem: FloatArray,
) -> int:
    """Takes one bar of every account and brings their results up to date.

    Args:
        config: Settings. Shape [1].
        limits: Limits and weights. Shape [2, metrics].
        shocks: Stress shocks. Shape [rows, scenarios].
        accounts: Field of Storage, as the arrays up to results.
        ends: Field of Storage.
        windows: Field of Storage.
        trade_timestamps: Field of Storage.
        trade_notionals: Field of Storage.
        results: Field of Storage.
        snapshots: A packed snapshot an account. Shape [n, size].
        new_holdings: Whether anything but values, trades and the time changed.
        new_values: Account values. Shape [n].
        new_timestamps: Shape [n] or [0].
        new_trade_notionals: Traded within the bar, 0 for nothing. Shape [n] or [0].
        problem: Filled as column 0 of a result, `at` is the row, if there is a contradiction.

    Returns:
        0; CONTRADICTION or NEEDS_ROOM, and then nothing was taken.
    """
    storage = Storage(accounts, ends, windows, trade_timestamps, trade_notionals, results)
    for row in range(new_values.size):
        time = new_timestamps[row] if new_timestamps.size > 0 else nan
        code = _find_bar_violation(accounts[row], snapshots[row], time, new_timestamps.size > 0)
        if code != 0:
            return contradict(problem, code, row, -1)
        if new_trade_notionals.size > 0 and not has_room_for_trades(storage, row, 1):
            return NEEDS_ROOM
    touched = Touched(True, True, False, False, new_holdings)
    for row in range(new_values.size):
        bar = slice(row, row + 1)
        account, buffers = accounts[row], windows[row]
        append_values(config[0], account, ends[row], buffers, new_values[bar])
        append_timestamps(config[0], account, ends[row], buffers, new_timestamps[bar])
        # The first trade of 0 says that nothing was traded; further ones would say it again.
        is_news = new_trade_notionals.size > 0 and (
            new_trade_notionals[row] != 0.0 or accounts[row].trade_count == 0
        )
        if is_news:
            append_trades(storage, row, new_timestamps[bar], new_trade_notionals[bar])
        calculate_row(config[0], limits, shocks, storage, row, snapshots[row], touched)
    return 0
