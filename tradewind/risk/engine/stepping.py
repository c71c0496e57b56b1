"""One bar of many accounts in one call: the kernels under BatchRiskTracker."""

from math import isnan

import numpy as np
from numpy.typing import NDArray

from tradewind.kernels.compiled import compiled, inlined
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.arrays import contradict
from tradewind.risk.engine.result import CODE, VALUE
from tradewind.risk.engine.snapshot import (
    HEADER_SIZE,
    NO_VOLUME,
    NOW_AT,
    POSITION_WIDTH,
    PRICE,
    QUANTITY,
    START_OF_DAY_VALUE_AT,
    VOLUME,
)
from tradewind.risk.engine.state import Touched
from tradewind.risk.engine.storage import (
    IntArray,
    Storage,
    append_timestamps,
    append_trades,
    append_values,
    has_room_for_trades,
    reset_row,
)
from tradewind.risk.engine.tracking import NEEDS_ROOM, calculate_row, find_new_time_violation
from tradewind.risk.inputs import FloatArray

__all__ = ["begin_rows", "is_judged", "update_rows"]


@compiled
def begin_rows(
    config: Record,
    accounts: Record,
    ends: IntArray,
    windows: FloatArray,
    trade_timestamps: FloatArray,
    trade_notionals: FloatArray,
    results: FloatArray,
    losses: FloatArray,
    rows: IntArray,
    new_values: FloatArray,
    new_timestamps: FloatArray,
    new_trade_timestamps: FloatArray,
    workspace: FloatArray,
) -> None:
    """Forgets some accounts and takes the first bar of new ones; calculates nothing.

    A first trade of notional 0 says that there was none so far, which is not unknown.

    Args:
        config: Settings. Shape [1].
        accounts: Field of Storage, as the arrays up to losses.
        ends: Field of Storage.
        windows: Field of Storage.
        trade_timestamps: Field of Storage.
        trade_notionals: Field of Storage.
        results: Field of Storage.
        losses: Field of Storage.
        rows: Which accounts. Shape [k].
        new_values: Account values. Shape [n].
        new_timestamps: Shape [n].
        new_trade_timestamps: Shape [n].
        workspace: As plan.workspace_size says.
    """
    storage = Storage(accounts, ends, windows, trade_timestamps, trade_notionals, results, losses)
    nothing = workspace[:1]
    nothing[0] = 0.0
    for row in rows:
        reset_row(accounts, ends, row)
        _append_bar(config[0], storage, row, new_values, new_timestamps)
        append_trades(storage, row, new_trade_timestamps[row : row + 1], nothing)


@compiled
def update_rows(
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
    snapshots: FloatArray,
    new_values: FloatArray,
    new_timestamps: FloatArray,
    start_of_day_values: FloatArray,
    new_trade_timestamps: FloatArray,
    new_trade_notionals: FloatArray,
    quantities: FloatArray,
    prices: FloatArray,
    average_daily_volumes: FloatArray,
    values_out: FloatArray,
    scores_out: FloatArray,
    judged_out: NDArray[np.bool_],
    workspace: FloatArray,
    problem: FloatArray,
) -> int:
    """Takes one bar of every account and calculates all metrics anew.

    Args:
        config: Settings. Shape [1].
        limits: Limits and weights. Shape [2, metrics].
        shocks: Stress shocks. Shape [rows, scenarios].
        accounts: Field of Storage, as the arrays up to losses.
        ends: Field of Storage.
        windows: Field of Storage.
        trade_timestamps: Field of Storage.
        trade_notionals: Field of Storage.
        results: Field of Storage.
        losses: Field of Storage.
        snapshots: A packed snapshot an account, with as many feeds as positions. Shape [n, size].
        new_values: Field of BatchBar, as the arrays up to average_daily_volumes. Shape [n].
        new_timestamps: Shape [n].
        start_of_day_values: Shape [n].
        new_trade_timestamps: Shape [n].
        new_trade_notionals: Shape [n, symbols].
        quantities: Shape [n, symbols].
        prices: Shape [n, symbols].
        average_daily_volumes: Shape [n, symbols].
        values_out: Filled with the metrics. Shape [n, metrics].
        scores_out: Filled with risk_score and penalty. Shape [2, n].
        judged_out: Filled with whether the score is known and every limit checked. Shape [n].
        workspace: As plan.workspace_size says.
        problem: Filled as column 0 of a result, `at` is the row, if there is a contradiction.

    Returns:
        0; CONTRADICTION or NEEDS_ROOM, and then nothing was taken.
    """
    storage = Storage(accounts, ends, windows, trade_timestamps, trade_notionals, results, losses)
    count = quantities.shape[0]
    for row in range(count):
        trades = 0
        for symbol in range(quantities.shape[1]):
            trades += new_trade_notionals[row, symbol] != 0.0
        code, _ = find_new_time_violation(
            accounts[row],
            new_timestamps[row],
            new_timestamps[row : row + 1],
            new_trade_timestamps[row : row + min(trades, 1)],
        )
        if code != 0:
            return contradict(problem, code, row)
        if not has_room_for_trades(storage, row, trades):
            return NEEDS_ROOM
    touched = Touched(True, True, False, False, True)
    for row in range(count):
        snapshot, now = snapshots[row], new_timestamps[row]
        _write_scalars(snapshot, start_of_day_values[row], now, quantities.shape[1])
        _write_positions(snapshot, quantities[row], prices[row], average_daily_volumes[row])
        _append_trades_of_bar(storage, row, new_trade_timestamps, new_trade_notionals)
        _append_bar(config[0], storage, row, new_values, new_timestamps)
        calculate_row(config[0], limits, shocks, storage, row, snapshot, touched, workspace)
        for column in range(values_out.shape[1]):
            values_out[row, column] = results[row, VALUE, column]
        for column in range(2):
            scores_out[column, row] = results[row, VALUE, values_out.shape[1] + column]
        judged_out[row] = is_judged(limits, results[row])
    return 0


@inlined
def _write_scalars(snapshot: FloatArray, start_of_day: float, now: float, symbols: int) -> None:
    """Writes what a bar says of an account and of the time into its packed snapshot."""
    snapshot[START_OF_DAY_VALUE_AT] = start_of_day
    snapshot[NOW_AT] = now
    feeds = HEADER_SIZE + symbols * POSITION_WIDTH
    snapshot[feeds : feeds + symbols] = now


@inlined
def _write_positions(
    snapshot: FloatArray, quantities: FloatArray, prices: FloatArray, volumes: FloatArray
) -> None:
    """Writes what a bar says of each symbol into a packed snapshot."""
    for symbol in range(quantities.size):
        position = snapshot[HEADER_SIZE + symbol * POSITION_WIDTH :]
        volume = volumes[symbol]
        position[QUANTITY] = quantities[symbol]
        position[PRICE] = prices[symbol]
        position[VOLUME] = NO_VOLUME if isnan(volume) else volume


@inlined
def _append_trades_of_bar(
    storage: Storage, row: int, timestamps: FloatArray, notionals: FloatArray
) -> None:
    for symbol in range(notionals.shape[1]):
        if notionals[row, symbol] != 0.0:
            append_trades(
                storage, row, timestamps[row : row + 1], notionals[row, symbol : symbol + 1]
            )


@inlined
def _append_bar(
    config: Record, storage: Storage, row: int, values: FloatArray, timestamps: FloatArray
) -> None:
    account, ends, windows = storage.accounts[row], storage.ends[row], storage.windows[row]
    append_values(config, account, ends, windows, values[row : row + 1])
    append_timestamps(config, account, ends, windows, timestamps[row : row + 1])


@compiled
def is_judged(limits: FloatArray, result: FloatArray) -> bool:
    """Whether the score is known and every limit was checked."""
    metrics = limits.shape[1]
    for metric in range(metrics):
        if not isnan(limits[0, metric]) and result[CODE, metric] > 0.0:
            return False
    return not isnan(result[VALUE, metrics])
