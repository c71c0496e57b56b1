"""From what is new to a result: the kernels under RiskTracker."""

from math import inf, isfinite
from typing import Final

from tradewind.kernels.compiled import compiled, inlined
from tradewind.risk.calculators.turnover import LONGEST_HORIZON_S
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.arrays import contradict, find_time_violation
from tradewind.risk.engine.clock import latest_time
from tradewind.risk.engine.kernel import calculate
from tradewind.risk.engine.state import NEEDS_WORKSPACE, Touched, open_state, workspace_of
from tradewind.risk.engine.storage import (
    Increment,
    IntArray,
    Storage,
    append,
    has_room_for_trades,
    sort_losses,
    trailing_series,
)
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    FIELD_SPAN,
    GOES_BACK,
    NOT_ONE_PER_VALUE,
    NOW,
    TIMESTAMPS,
)

__all__ = ["NEEDS_ROOM", "calculate_row", "find_new_time_violation", "update_row"]

NEEDS_ROOM: Final = -2
"""Nothing was changed: the trades need more room first."""


@compiled(holds_lock=True)
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
    losses: FloatArray,
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
    workspace: FloatArray,
    problem: FloatArray,
) -> int:
    """Takes what is new about one account and brings its result up to date.

    The arguments are the fields of Storage and of Increment one by one: a tuple takes longer to
    cross into a kernel than its elements do.

    Returns:
        How many metrics are unavailable or have a note; CONTRADICTION (`problem` says which, as
        column 0 of a result), NEEDS_ROOM or NEEDS_WORKSPACE, and then nothing was taken.
    """
    storage = Storage(accounts, ends, windows, trade_timestamps, trade_notionals, results, losses)
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
    code, at = _find_increment_violation(accounts[row], snapshot, new)
    if code != 0:
        return contradict(problem, code, at)
    if not has_room_for_trades(storage, row, new_trade_timestamps.size):
        return NEEDS_ROOM
    if workspace_of(config[0], snapshot) > workspace.size:
        return NEEDS_WORKSPACE
    append(config[0], storage, row, new)
    touched = Touched(
        new_values.size > 0,
        new_values.size > 0 or new_returns.size > 0,
        new_order_flows.size > 0,
        new_order_latencies_us.size > 0,
        new_holdings,
    )
    return calculate_row(config[0], limits, shocks, storage, row, snapshot, touched, workspace)


@inlined
def calculate_row(
    config: Record,
    limits: FloatArray,
    shocks: FloatArray,
    storage: Storage,
    row: int,
    snapshot: FloatArray,
    touched: Touched,
    workspace: FloatArray,
) -> int:
    """Brings the result of one account up to date with its present state."""
    account = storage.accounts[row]
    now = latest_time(account, snapshot)
    if isfinite(now):
        account.latest_time = max(account.latest_time, now)
    if account.is_calculated == 0:
        touched = Touched(True, True, True, True, True)
        account.is_calculated = 1
    sort_losses(config, storage, row)
    series = trailing_series(config, storage, row)
    state = open_state(storage.accounts[row : row + 1], series, snapshot, shocks, workspace)
    return calculate(config, limits, state, touched, storage.results[row])


@compiled
def _find_increment_violation(
    account: Record, header: FloatArray, new: Increment
) -> tuple[int, int]:
    """Code and index of the first contradiction in time; code 0 if there is none."""
    now = latest_time(account, header)
    code, at = find_new_time_violation(account, now, new.timestamps, new.trade_timestamps)
    is_later = new.portfolio_values.size > 0 and account.value_count > 0
    if code == 0 and is_later and (new.timestamps.size > 0) != (account.timestamp_count > 0):
        code = NOT_ONE_PER_VALUE * FIELD_SPAN + TIMESTAMPS
    return code, at


@compiled
def find_new_time_violation(
    account: Record, now: float, timestamps: FloatArray, trade_timestamps: FloatArray
) -> tuple[int, int]:
    """Code and index of the first contradiction in the times of what is new; code 0 if none.

    Args:
        account: The account before it.
        now: The time that the account knows, or that it is given; NaN if that is unusable.
        timestamps: Of the new bars.
        trade_timestamps: Of the new trades.
    """
    code, at = find_time_violation(timestamps, account.last_timestamp)
    if code != 0:
        return code, at
    latest = now
    for timestamp in timestamps:
        if timestamp > latest:
            latest = timestamp
    for timestamp in trade_timestamps:
        if latest < timestamp < inf:
            latest = timestamp
    if isfinite(latest) and latest < account.latest_time - LONGEST_HORIZON_S:
        return GOES_BACK * FIELD_SPAN + NOW, -1
    return 0, -1
