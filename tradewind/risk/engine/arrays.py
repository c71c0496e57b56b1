"""From whole arrays to a result: the kernel under RiskAgentV2.calculate_only."""

from math import inf
from typing import Final, NamedTuple, Self

import numpy as np

from tradewind.kernels.compiled import compiled
from tradewind.risk.engine.account import (
    Record,
    find_bar_time_violation,
    fold_flows,
    fold_given_returns,
    fold_latencies,
    fold_timestamps,
    fold_trades,
    fold_values,
    reset_account,
    simple_return,
)
from tradewind.risk.engine.kernel import calculate
from tradewind.risk.engine.result import AT, CODE
from tradewind.risk.engine.state import NEEDS_WORKSPACE, Series, Touched, open_state, workspace_of
from tradewind.risk.inputs import FloatArray, RiskInputs
from tradewind.risk.reasons import FIELD_SPAN, TIMESTAMPS

__all__ = ["CONTRADICTION", "NO_SERIES", "AccountArrays", "calculate_arrays"]

CONTRADICTION: Final = -1
NO_SERIES: Final[FloatArray] = np.empty(0)


class AccountArrays(NamedTuple):
    """What `calculate_arrays` reads of an account, in the order of its arguments.

    The snapshot is that of engine.snapshot, the series have the names of RiskInputs.
    """

    snapshot: FloatArray
    portfolio_values: FloatArray
    timestamps: FloatArray
    returns: FloatArray
    price_changes: FloatArray
    order_flows: FloatArray
    order_latencies_us: FloatArray
    trade_timestamps: FloatArray
    trade_notionals: FloatArray

    @classmethod
    def of(cls, snapshot: FloatArray, inputs: RiskInputs) -> Self:
        """Those of inputs whose snapshot has been packed."""
        return cls(snapshot, *(getattr(inputs, name) for name in cls._fields[1:]))

    def series(self) -> dict[str, FloatArray]:
        """The series by name."""
        return {name: getattr(self, name) for name in self._fields[1:]}


@compiled(holds_lock=True)
def calculate_arrays(
    config: Record,
    limits: FloatArray,
    shocks: FloatArray,
    snapshot: FloatArray,
    values: FloatArray,
    timestamps: FloatArray,
    returns: FloatArray,
    price_changes: FloatArray,
    order_flows: FloatArray,
    order_latencies_us: FloatArray,
    trade_timestamps: FloatArray,
    trade_notionals: FloatArray,
    account: Record,
    workspace: FloatArray,
    out: FloatArray,
) -> int:
    """Runs the enabled calculators on whole arrays, oldest element first.

    Args:
        config: Settings. Shape [1].
        limits: Limits and weights. Shape [2, metrics].
        shocks: Stress shocks. Shape [rows, scenarios].
        snapshot: What is not a series (engine.snapshot).
        values: Account values. Shape [n].
        timestamps: Shape [n] or [0].
        returns: Shape [m]; derived from the values when empty.
        price_changes: Shape [p].
        order_flows: Shape [p].
        order_latencies_us: Shape [q].
        trade_timestamps: Shape [k].
        trade_notionals: Shape [k].
        account: Filled with the folds. Shape [1].
        workspace: As plan.workspace_size says, or larger.
        out: Filled with the result. Shape [4, metrics + 2].

    Returns:
        How many metrics are unavailable or have a note; CONTRADICTION: column 0 of the
        result says which; or NEEDS_WORKSPACE.
    """
    if workspace_of(config[0], snapshot) > workspace.size:
        return NEEDS_WORKSPACE
    reset_account(account[0])
    kept = min(values.size, config[0].drawdowns_window)
    drawdowns = workspace[:kept]
    fold_values(account[0], values, drawdowns)
    window = returns
    if returns.size == 0:
        count = max(min(values.size - 1, config[0].returns_window), 0)
        window = workspace[kept : kept + count]
        derive_returns(values, window)
        kept += count
    series = Series(
        timestamps,
        drawdowns,
        window,
        price_changes,
        order_flows,
        order_latencies_us,
        trade_timestamps,
        trade_notionals,
        workspace[:0],
    )
    state = open_state(account, series, snapshot, shocks, workspace[kept:])
    code, at = find_time_violation(timestamps, -inf)
    if code != 0:
        return contradict(out, code, at)
    fold_series(account[0], series, returns)
    everything = Touched(True, True, True, True, True)
    return calculate(config[0], limits, state, everything, out)


def series_of(
    config: Record, arrays: AccountArrays, workspace: FloatArray
) -> dict[str, FloatArray]:
    """The series that `calculate_arrays` has looked at, with what it has derived.

    Args:
        config: Settings.
        arrays: What it was given.
        workspace: What it was given, with what it has left there.
    """
    values = arrays.portfolio_values.size
    kept = min(values, int(config["drawdowns_window"]))
    series = arrays.series() | {"drawdowns": workspace[:kept]}
    if arrays.returns.size == 0:
        derived = max(min(values - 1, int(config["returns_window"])), 0)
        series["returns"] = workspace[kept : kept + derived]
    return series


@compiled
def derive_returns(values: FloatArray, returns: FloatArray) -> None:
    """Fills an array with the latest simple returns per bar."""
    count = returns.size
    later = values[values.size - count :]
    earlier = values[max(values.size - count - 1, 0) :]
    for index in range(count):
        returns[index] = simple_return(earlier[index], later[index])


@compiled
def fold_series(account: Record, series: Series, returns: FloatArray) -> None:
    """Folds every series but the values into the account."""
    fold_timestamps(account, series.timestamps)
    fold_given_returns(account, returns)
    if returns.size == 0:
        account.return_count = max(account.value_count - 1, 0)
    fold_flows(account, series.price_changes, series.order_flows)
    fold_latencies(account, series.order_latencies_us)
    fold_trades(account, series.trade_timestamps, series.trade_notionals)


@compiled
def find_time_violation(timestamps: FloatArray, last_timestamp: float) -> tuple[int, int]:
    """Code and index of the first bar that is out of order; code 0 if there is none.

    Args:
        timestamps: Of the bars.
        last_timestamp: Of the last bar before these.
    """
    at, kind = find_bar_time_violation(timestamps, last_timestamp)
    return (kind * FIELD_SPAN + TIMESTAMPS, at) if kind != 0 else (0, -1)


@compiled
def contradict(out: FloatArray, code: int, at: int) -> int:
    """Answers that the inputs contradict themselves."""
    out[CODE, 0] = code
    out[AT, 0] = at
    return CONTRADICTION
