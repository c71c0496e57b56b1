"""All that a calculator's kernel may look at, and how it answers."""

from math import isfinite, nan
from typing import Final, NamedTuple

from tradewind.compiled import compiled
from tradewind.risk.engine.account import Record
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    ABSENT,
    CAPITAL_BASE,
    FIELD_SPAN,
    NOT_FINITE,
    NOT_POSITIVE,
    PORTFOLIO_VALUES,
    RESULT_NOT_FINITE,
    RETURNS,
    TOO_FEW,
)

__all__ = ["State"]

# Rows of a result. Shape [5, metrics + 2]; the last two columns are risk_score and penalty.
VALUE: Final = 0
CODE: Final = 1
ACTUAL: Final = 2
NEEDED: Final = 3
NOTE: Final = 4
RESULT_ROWS: Final = 5
RESULT_EXTRA: Final = 2

# Layout of a snapshot: scalars and whether they were given, then rows.
HAS_START_OF_DAY_VALUE: Final = 0
START_OF_DAY_VALUE_AT: Final = 1
HAS_CAPITAL_BASE: Final = 2
CAPITAL_BASE_AT: Final = 3
HAS_NOW: Final = 4
NOW_AT: Final = 5
SNAPSHOT_HEADER: Final = 6


class State(NamedTuple):
    """One account at one moment; every series is a trailing window, its newest element last."""

    account: Record
    snapshot: FloatArray
    timestamps: FloatArray
    drawdowns: FloatArray
    returns: FloatArray
    trade_timestamps: FloatArray
    trade_notionals: FloatArray


@compiled
def put(out: FloatArray, metric: int, value: float) -> None:
    """Answers with a value, or that it is not finite."""
    if isfinite(value):
        out[VALUE, metric] = value
        out[CODE, metric] = 0.0
    else:
        refuse(out, metric, 1, RESULT_NOT_FINITE * FIELD_SPAN, -1, 0)


@compiled
def refuse(out: FloatArray, metric: int, count: int, code: int, actual: int, needed: int) -> None:
    """Answers that `count` metrics from `metric` on are unavailable."""
    for index in range(metric, metric + count):
        out[VALUE, index] = nan
        out[CODE, index] = code
        out[ACTUAL, index] = actual
        out[NEEDED, index] = needed


@compiled
def lacks_values(state: State, out: FloatArray, metric: int, count: int, needed: int) -> bool:
    """Whether the value history is unusable; if so, answers why."""
    account = state.account
    if account.value_count == 0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + PORTFOLIO_VALUES, -1, needed)
    elif account.bad_value >= 0:
        code = account.bad_value_kind * FIELD_SPAN + PORTFOLIO_VALUES
        refuse(out, metric, count, code, account.bad_value, needed)
    elif account.value_count < needed:
        code = TOO_FEW * FIELD_SPAN + PORTFOLIO_VALUES
        refuse(out, metric, count, code, account.value_count, needed)
    else:
        return False
    return True


@compiled
def lacks_returns(
    state: State, out: FloatArray, metric: int, count: int, needed: int, window: int
) -> bool:
    """Whether the trailing window of returns is unusable; if so, answers why."""
    account = state.account
    start = max(account.return_count - window, 0)
    if account.return_count == 0 and account.value_count == 0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + RETURNS, -1, needed)
    elif account.return_count - start < needed:
        code = TOO_FEW * FIELD_SPAN + RETURNS
        refuse(out, metric, count, code, account.return_count - start, needed)
    elif account.returns_given != 0 and account.bad_return >= start:
        code = NOT_FINITE * FIELD_SPAN + RETURNS
        refuse(out, metric, count, code, account.bad_return, needed)
    elif account.returns_given == 0 and account.bad_value >= start:
        code = account.bad_value_kind * FIELD_SPAN + PORTFOLIO_VALUES
        refuse(out, metric, count, code, account.bad_value, needed)
    else:
        return False
    return True


@compiled
def lacks_scalar(
    state: State, out: FloatArray, metric: int, count: int, has: int, field: int
) -> bool:
    """Whether a scalar that must be positive is unusable; if so, answers why."""
    value = state.snapshot[has + 1]
    if state.snapshot[has] == 0.0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + field, -1, 0)
    elif not isfinite(value):
        refuse(out, metric, count, NOT_FINITE * FIELD_SPAN + field, -1, 0)
    elif value <= 0.0:
        refuse(out, metric, count, NOT_POSITIVE * FIELD_SPAN + field, -1, 0)
    else:
        return False
    return True


@compiled
def lacks_capital(state: State, out: FloatArray, metric: int, count: int) -> bool:
    """Whether capital_base is unusable; if so, answers why."""
    return lacks_scalar(state, out, metric, count, HAS_CAPITAL_BASE, CAPITAL_BASE)
