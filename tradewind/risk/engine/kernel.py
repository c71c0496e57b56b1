"""Every enabled calculator in one compiled call, over whole arrays or over a tracker's windows."""

from math import isnan, nan

import numpy as np

from tradewind.compiled import compiled
from tradewind.risk.calculators.drawdown import calculate_drawdown
from tradewind.risk.calculators.drawdown_velocity import calculate_drawdown_velocity
from tradewind.risk.calculators.expected_shortfall import calculate_expected_shortfall
from tradewind.risk.calculators.turnover import calculate_turnover
from tradewind.risk.calculators.var import calculate_var
from tradewind.risk.calculators.volatility import calculate_volatility
from tradewind.risk.engine.account import (
    Record,
    find_time_violation,
    fold_given_return,
    fold_timestamps,
    fold_value,
    simple_return,
)
from tradewind.risk.engine.state import ACTUAL, CODE, VALUE, State
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import FIELD_SPAN, TIMESTAMPS, TRADE_TIMESTAMPS

__all__ = ["calculate", "calculate_arrays"]


@compiled
def calculate(config: Record, limits: FloatArray, state: State, out: FloatArray) -> int:
    """Runs the enabled calculators on one state.

    Args:
        config: Settings (plan.CONFIG).
        limits: Limits and weights. Shape [2, metrics].
        state: The account.
        out: Filled with the result. Shape [5, metrics + 2].

    Returns:
        How many metrics are unavailable.
    """
    if config.drawdown >= 0:
        calculate_drawdown(config, state, out)
    if config.drawdown_velocity >= 0:
        calculate_drawdown_velocity(config, state, out)
    if config.volatility >= 0:
        calculate_volatility(config, state, out)
    if config.var >= 0:
        calculate_var(config, state, out)
    if config.expected_shortfall >= 0:
        calculate_expected_shortfall(config, state, out)
    if config.turnover >= 0:
        calculate_turnover(config, state, out)
    return _score(limits, out)


@compiled
def _score(limits: FloatArray, out: FloatArray) -> int:
    """Writes risk_score and penalty (NaN: unknown) and counts the unavailable metrics."""
    metrics = limits.shape[1]
    unavailable = 0
    largest = nan
    weighted = 0.0
    weights = 0.0
    for metric in range(metrics):
        if out[CODE, metric] != 0.0:
            unavailable += 1
        elif not isnan(limits[0, metric]):
            utilisation = out[VALUE, metric] / limits[0, metric]
            if isnan(largest) or utilisation > largest:
                largest = utilisation
            weighted += limits[1, metric] * utilisation
            weights += limits[1, metric]
    out[VALUE, metrics] = largest if isnan(largest) else min(max(largest, 0.0), 1.0)
    out[VALUE, metrics + 1] = weighted / weights if weights > 0.0 else nan
    return unavailable


@compiled
def calculate_arrays(
    config: Record,
    limits: FloatArray,
    accounts: Record,
    snapshot: FloatArray,
    values: FloatArray,
    timestamps: FloatArray,
    returns: FloatArray,
    trade_timestamps: FloatArray,
    trade_notionals: FloatArray,
    out: FloatArray,
) -> int:
    """Runs the enabled calculators on whole arrays, oldest element first.

    Args:
        config: Settings. Shape [1].
        limits: Limits and weights. Shape [2, metrics].
        accounts: One new account. Shape [1].
        snapshot: Scalars and rows (see state).
        values: Account values. Shape [n].
        timestamps: Shape [n] or [0].
        returns: Shape [m]; derived from the values when empty.
        trade_timestamps: Shape [k].
        trade_notionals: Shape [k].
        out: Filled with the result. Shape [5, metrics + 2].

    Returns:
        How many metrics are unavailable; or −1: the inputs contradict themselves, out[CODE, 0] and
        out[ACTUAL, 0] say how and where.
    """
    account = accounts[0]
    index, kind = find_time_violation(timestamps, -np.inf, True)
    if kind != 0:
        return _violation(out, kind * FIELD_SPAN + TIMESTAMPS, index)
    index, kind = find_time_violation(trade_timestamps, -np.inf, False)
    if kind != 0:
        return _violation(out, kind * FIELD_SPAN + TRADE_TIMESTAMPS, index)

    drawdowns = np.empty(min(values.size, config[0].drawdowns_window))
    skipped = values.size - drawdowns.size
    for index in range(values.size):
        drawdown = fold_value(account, values[index])
        if index >= skipped:
            drawdowns[index - skipped] = drawdown
    fold_timestamps(account, timestamps)
    for value in returns:
        fold_given_return(account, value)
    window = returns
    if returns.size == 0:
        window = derive_returns(values, config[0].returns_window)
        account.return_count = max(values.size - 1, 0)
    account.trade_count = trade_timestamps.size
    if trade_timestamps.size > 0:
        account.last_trade_timestamp = trade_timestamps[-1]
    state = State(
        account, snapshot, timestamps, drawdowns, window, trade_timestamps, trade_notionals
    )
    return calculate(config[0], limits, state, out)


@compiled
def derive_returns(values: FloatArray, window: int) -> FloatArray:
    """The latest simple returns per bar, at most `window` of them."""
    count = max(min(values.size - 1, window), 0)
    start = values.size - count
    returns = np.empty(count)
    for index in range(count):
        returns[index] = simple_return(values[start + index - 1], values[start + index])
    return returns


@compiled
def _violation(out: FloatArray, code: int, index: int) -> int:
    out[CODE, 0] = code
    out[ACTUAL, 0] = index
    return -1
