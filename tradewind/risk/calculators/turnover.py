"""Turnover: what was traded in the last hour and the last day, in units of the capital.

    turnover = Σ |notional| of the trades in (now − horizon, now] / capital_base

The window ends at the latest time known: of `now`, the last bar and the last trade.
"""

from math import isfinite
from typing import Final

from tradewind.compiled import compiled
from tradewind.risk.calculators.base import Calculator, CalculatorSettings
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.state import (
    CAPITAL_BASE_AT,
    HAS_NOW,
    NOW_AT,
    State,
    lacks_capital,
    put,
    refuse,
)
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    ABSENT,
    FIELD_SPAN,
    NOT_FINITE,
    NOW,
    TRADE_NOTIONALS,
    TRADE_TIMESTAMPS,
)

__all__ = ["TURNOVER", "TurnoverSettings"]

METRICS: Final = ("hourly_turnover", "daily_turnover")
HORIZONS_S: Final = (3_600.0, 86_400.0)
LONGEST_HORIZON_S: Final = HORIZONS_S[-1]


class TurnoverSettings(CalculatorSettings):
    """Turnover has nothing to set."""


TURNOVER: Final = Calculator(
    name="turnover",
    settings=TurnoverSettings,
    metrics=lambda _: METRICS,
    requirements=("trade_timestamps", "trade_notionals", "capital_base"),
)


@compiled
def latest_time(account: Record, snapshot: FloatArray) -> float:
    """The latest time known, seconds since the epoch."""
    latest: float = max(account.last_timestamp, account.last_trade_timestamp)
    if snapshot[HAS_NOW] != 0.0:
        latest = max(latest, snapshot[NOW_AT])
    return latest


@compiled
def calculate_turnover(config: Record, state: State, out: FloatArray) -> None:
    """Writes the metrics of METRICS."""
    first = config.turnover
    account = state.account
    if account.trade_count == 0:
        refuse(out, first, 2, ABSENT * FIELD_SPAN + TRADE_TIMESTAMPS, -1, 0)
        return
    if lacks_capital(state, out, first, 2):
        return
    end = latest_time(account, state.snapshot)
    if not isfinite(end):
        refuse(out, first, 2, NOT_FINITE * FIELD_SPAN + NOW, -1, 0)
        return
    trades = state.trade_timestamps.size
    for index in range(2):
        start = end - HORIZONS_S[index]
        oldest = trades
        while oldest > 0 and state.trade_timestamps[oldest - 1] > start:
            oldest -= 1
        total = 0.0
        bad = -1
        for trade in range(oldest, trades):
            notional = abs(state.trade_notionals[trade])
            total += notional
            if not isfinite(notional):
                bad = trade
        if bad >= 0:
            position = account.trade_count - trades + bad
            refuse(out, first + index, 1, NOT_FINITE * FIELD_SPAN + TRADE_NOTIONALS, position, 0)
        else:
            put(out, first + index, total / state.snapshot[CAPITAL_BASE_AT])
