"""How a calculator's kernel answers, and what it checks first."""

from math import isfinite, nan
from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.snapshot import (
    DIVIDEND_YIELD,
    HAS_CAPITAL_BASE,
    MULTIPLIER,
    OPTION_QUANTITY_AT,
    PRICE,
    QUANTITY,
    VOLATILITY_AT,
    YEARS,
)
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    ABSENT,
    CAPITAL_BASE,
    FIELD_SPAN,
    NEGATIVE,
    NOT_FINITE,
    NOT_POSITIVE,
    OPTION_QUANTITY,
    OPTIONS,
    ORDER_LATENCIES,
    PORTFOLIO_VALUES,
    POSITION_PRICE,
    POSITION_QUANTITY,
    POSITIONS,
    PRICE_CHANGES,
    RESULT_NOT_FINITE,
    RETURNS,
    TIMESTAMPS,
    TOO_FEW,
)

__all__ = [
    "lacks_capital",
    "lacks_flows",
    "lacks_latencies",
    "lacks_options",
    "lacks_positions",
    "lacks_returns",
    "lacks_scalar",
    "lacks_timestamps",
    "lacks_values",
    "notional_of",
    "put",
    "refuse",
]

# Rows of a result. Shape [4, metrics + 2]. A code is 0 for a plain value, positive for the reason
# of an unavailable one, negative for a note. The last two columns are risk_score and penalty; `at`
# and `other` of the former are the first column whose code is not 0 and one past the last such one.
VALUE: Final = 0
CODE: Final = 1
AT: Final = 2
OTHER: Final = 3
RESULT_ROWS: Final = 4
RESULT_EXTRA: Final = 2


@compiled
def put(out: FloatArray, metric: int, value: float) -> None:
    """Answers with a value, or that it is not finite."""
    if isfinite(value):
        out[VALUE, metric] = value
        out[CODE, metric] = 0.0
    else:
        refuse(out, metric, 1, RESULT_NOT_FINITE * FIELD_SPAN, -1, 0)


@compiled
def refuse(out: FloatArray, metric: int, count: int, code: int, at: int, other: int) -> None:
    """Answers that `count` metrics from `metric` on are unavailable."""
    for index in range(metric, metric + count):
        out[VALUE, index] = nan
        out[CODE, index] = code
        out[AT, index] = at
        out[OTHER, index] = other


@compiled
def lacks_values(account: Record, out: FloatArray, metric: int, count: int, needed: int) -> bool:
    """Whether the value history is unusable; if so, answers why."""
    if account.value_count == 0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + PORTFOLIO_VALUES, -1, 0)
    elif account.bad_value >= 0:
        code = account.bad_value_kind * FIELD_SPAN + PORTFOLIO_VALUES
        refuse(out, metric, count, code, account.bad_value, 0)
    elif account.value_count < needed:
        code = TOO_FEW * FIELD_SPAN + PORTFOLIO_VALUES
        refuse(out, metric, count, code, account.value_count, needed)
    else:
        return False
    return True


@compiled
def lacks_returns(
    account: Record, out: FloatArray, metric: int, count: int, needed: int, window: int
) -> bool:
    """Whether the trailing window of returns is unusable; if so, answers why."""
    start = max(account.return_count - window, 0)
    if account.return_count == 0 and account.value_count == 0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + RETURNS, -1, 0)
    elif account.return_count - start < needed:
        code = TOO_FEW * FIELD_SPAN + RETURNS
        refuse(out, metric, count, code, account.return_count - start, needed)
    elif account.returns_given != 0 and account.bad_return >= start:
        code = NOT_FINITE * FIELD_SPAN + RETURNS
        refuse(out, metric, count, code, account.bad_return, 0)
    elif account.returns_given == 0 and account.bad_value >= start:
        kind = NOT_FINITE if account.bad_value_kind == NOT_FINITE else NOT_POSITIVE
        code = kind * FIELD_SPAN + PORTFOLIO_VALUES
        refuse(out, metric, count, code, account.bad_value, 0)
    elif account.returns_given == 0 and _last_without_return(account) >= start:
        code = NOT_POSITIVE * FIELD_SPAN + PORTFOLIO_VALUES
        refuse(out, metric, count, code, _last_without_return(account), 0)
    else:
        return False
    return True


@compiled
def _last_without_return(account: Record) -> int:
    """Index of the latest value that no return follows from though a value does; −1 if none.

    The return that leads to a value at or below zero is known, those from it are not.
    """
    if account.spent_value < account.value_count - 1:
        return int(account.spent_value)
    return int(account.spent_value_before)


@compiled
def lacks_timestamps(account: Record, out: FloatArray, metric: int, count: int, bars: int) -> bool:
    """Whether the times of the latest bars are unusable; if so, answers why."""
    if account.timestamp_count == 0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + TIMESTAMPS, -1, 0)
    elif account.bad_timestamp >= account.timestamp_count - bars:
        code = NOT_FINITE * FIELD_SPAN + TIMESTAMPS
        refuse(out, metric, count, code, account.bad_timestamp, 0)
    else:
        return False
    return True


@compiled
def lacks_flows(
    account: Record, out: FloatArray, metric: int, count: int, needed: int, window: int
) -> bool:
    """Whether the trailing window of price changes and order flows is unusable; answers why."""
    start = max(account.flow_count - window, 0)
    intervals = account.flow_count - start
    if intervals == 0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + PRICE_CHANGES, -1, 0)
    elif intervals < needed:
        refuse(out, metric, count, TOO_FEW * FIELD_SPAN + PRICE_CHANGES, intervals, needed)
    elif account.bad_flow >= start:
        code = NOT_FINITE * FIELD_SPAN + account.bad_flow_field
        refuse(out, metric, count, code, account.bad_flow, 0)
    else:
        return False
    return True


@compiled
def lacks_latencies(
    account: Record, out: FloatArray, metric: int, count: int, needed: int, window: int
) -> bool:
    """Whether the trailing window of order latencies is unusable; if so, answers why."""
    orders = min(account.latency_count, window)
    if orders == 0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + ORDER_LATENCIES, -1, 0)
    elif orders < needed:
        refuse(out, metric, count, TOO_FEW * FIELD_SPAN + ORDER_LATENCIES, orders, needed)
    elif account.bad_latency >= account.latency_count - orders:
        code = account.bad_latency_kind * FIELD_SPAN + ORDER_LATENCIES
        refuse(out, metric, count, code, account.bad_latency, 0)
    else:
        return False
    return True


@compiled
def lacks_scalar(
    header: FloatArray, out: FloatArray, metric: int, count: int, has: int, field: int
) -> bool:
    """Whether a scalar that must be positive is unusable; if so, answers why."""
    value = header[has + 1]
    if header[has] == 0.0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + field, -1, 0)
    elif not isfinite(value):
        refuse(out, metric, count, NOT_FINITE * FIELD_SPAN + field, -1, 0)
    elif value <= 0.0:
        refuse(out, metric, count, NOT_POSITIVE * FIELD_SPAN + field, -1, 0)
    else:
        return False
    return True


@compiled
def lacks_capital(header: FloatArray, out: FloatArray, metric: int, count: int) -> bool:
    """Whether capital_base is unusable; if so, answers why."""
    return lacks_scalar(header, out, metric, count, HAS_CAPITAL_BASE, CAPITAL_BASE)


@compiled
def lacks_positions(positions: FloatArray, out: FloatArray, metric: int, count: int) -> bool:
    """Whether no position is given or one is unusable; if so, answers why.

    The price of a position of quantity 0 does not matter.
    """
    if positions.shape[0] == 0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + POSITIONS, -1, 0)
        return True
    for row in range(positions.shape[0]):
        quantity = positions[row, QUANTITY]
        price = positions[row, PRICE]
        if not isfinite(quantity):
            refuse(out, metric, count, NOT_FINITE * FIELD_SPAN + POSITION_QUANTITY, row, 0)
            return True
        if quantity != 0.0 and not isfinite(price):
            refuse(out, metric, count, NOT_FINITE * FIELD_SPAN + POSITION_PRICE, row, 0)
            return True
        if quantity != 0.0 and price <= 0.0:
            refuse(out, metric, count, NOT_POSITIVE * FIELD_SPAN + POSITION_PRICE, row, 0)
            return True
    return False


@compiled
def notional_of(positions: FloatArray, position: int) -> float:
    """Signed notional of a position that lacks_positions has passed."""
    quantity: float = positions[position, QUANTITY]
    return 0.0 if quantity == 0.0 else quantity * float(positions[position, PRICE])


@compiled
def lacks_options(options: FloatArray, out: FloatArray, metric: int, count: int) -> bool:
    """Whether no option is given or one is unusable; if so, answers why.

    Nothing but its quantity matters of an option of quantity 0.
    """
    if options.shape[0] == 0:
        refuse(out, metric, count, ABSENT * FIELD_SPAN + OPTIONS, -1, 0)
        return True
    for row in range(options.shape[0]):
        for index in range(DIVIDEND_YIELD + 1):
            value = options[row, index]
            # On its expiry an option has its intrinsic value, whatever the volatility.
            if index == VOLATILITY_AT and options[row, YEARS] == 0.0:
                continue
            if not isfinite(value):
                code = NOT_FINITE * FIELD_SPAN + OPTION_QUANTITY + index
                refuse(out, metric, count, code, row, 0)
                return True
            if index == OPTION_QUANTITY_AT and value == 0.0:
                break
            if index == YEARS:
                if value < 0.0:
                    code = NEGATIVE * FIELD_SPAN + OPTION_QUANTITY + index
                    refuse(out, metric, count, code, row, 0)
                    return True
            elif MULTIPLIER <= index <= VOLATILITY_AT and value <= 0.0:
                code = NOT_POSITIVE * FIELD_SPAN + OPTION_QUANTITY + index
                refuse(out, metric, count, code, row, 0)
                return True
    return False
