"""Turnover: what was traded in the last hour and the last day, in units of the capital.

    turnover = Σ |notional| of the trades in (now − horizon, now] / capital_base

The window ends at the latest time known: of `now`, the last bar and the last trade. A bar or trade
that cannot have happened yet would empty the window, and one that seems to be of 1970 would not be
in it: both make the metrics unavailable, as trades out of order do (engine.clock).
"""

from math import isfinite, nan
from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.clock import SPACINGS, find_trade_clock_problem, latest_time
from tradewind.risk.engine.result import lacks_capital, put, refuse
from tradewind.risk.engine.snapshot import CAPITAL_BASE_AT
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    ABSENT,
    FIELD_SPAN,
    NOT_FINITE,
    TRADE_NOTIONALS,
    TRADE_TIMESTAMPS,
)

__all__ = ["TURNOVER", "TurnoverSettings"]

METRICS: Final = {
    "hourly_turnover": "capital / h",
    "daily_turnover": "capital / day",
}
HORIZONS_S: Final = (3_600.0, 86_400.0)
LONGEST_HORIZON_S: Final = HORIZONS_S[-1]


class TurnoverSettings(CalculatorSettings):
    """Turnover has nothing to set."""


@compiled
def calculate_turnover(
    config: Record,
    account: Record,
    header: FloatArray,
    timestamps: FloatArray,
    trade_timestamps: FloatArray,
    trade_notionals: FloatArray,
    out: FloatArray,
) -> None:
    """Writes the metrics of METRICS."""
    first = config.turnover
    if account.trade_count == 0:
        refuse(out, first, 2, ABSENT * FIELD_SPAN + TRADE_TIMESTAMPS, -1, 0)
        return
    if lacks_capital(header, out, first, 2):
        return
    code, at = find_trade_clock_problem(config, account, header, timestamps)
    if code != 0:
        refuse(out, first, 2, code, at, 0)
        return
    end = latest_time(account, header)
    for index in range(2):
        traded, bad = _traded_since(trade_timestamps, trade_notionals, end - HORIZONS_S[index])
        if bad >= 0:
            at = account.trade_count - trade_timestamps.size + bad
            refuse(out, first + index, 1, NOT_FINITE * FIELD_SPAN + TRADE_NOTIONALS, at, 0)
        else:
            put(out, first + index, traded / header[CAPITAL_BASE_AT])


@compiled
def _traded_since(timestamps: FloatArray, notionals: FloatArray, start: float) -> tuple[float, int]:
    """Sum of the absolute notionals after `start`, oldest first, and a bad one's index or −1."""
    oldest = timestamps.size
    while oldest > 0 and timestamps[oldest - 1] > start:
        oldest -= 1
    total = 0.0
    for trade in range(oldest, timestamps.size):
        if not isfinite(notionals[trade]):
            return nan, trade
        total += abs(notionals[trade])
    return total, -1


TURNOVER: Final = CompiledCalculator(
    name="turnover",
    version=1,
    order=70,
    settings=TurnoverSettings,
    metrics=lambda _: METRICS,
    windows=lambda _: {"timestamps": SPACINGS + 1},
    kernel=calculate_turnover,
    needs=("trades", "capital_base"),
    after=("time",),
    reads=("feed_staleness.max_clock_skew_ms",),
)
