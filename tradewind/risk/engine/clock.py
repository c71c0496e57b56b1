"""The time of an account, and what cannot be a time of it.

Times are seconds since the epoch. One that is later than `now` by more than the allowed skew, or so
large that it must be in another unit, would empty every window that ends at the latest time known:
what depends on times is then unavailable, never 0.
"""

from math import isfinite, nan

from tradewind.compiled import compiled
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.snapshot import HAS_NOW, NOW_AT
from tradewind.risk.inputs import END_OF_TIME_S, FloatArray
from tradewind.risk.reasons import (
    AHEAD_OF_NOW,
    FIELD_SPAN,
    NOT_FINITE,
    NOT_SECONDS,
    NOW,
    TIMESTAMPS,
    TRADE_TIMESTAMPS,
)

__all__ = ["MS_PER_SECOND", "find_bar_clock_problem", "find_trade_clock_problem", "latest_time"]

MS_PER_SECOND = 1_000.0


@compiled
def latest_time(account: Record, header: FloatArray) -> float:
    """The latest time known, seconds since the epoch; NaN if `now` is given but unusable."""
    latest: float = max(account.last_timestamp, account.last_trade_timestamp)
    if header[HAS_NOW] == 0.0:
        return latest
    now: float = header[NOW_AT]
    return max(latest, now) if isfinite(now) and now < END_OF_TIME_S else nan


@compiled
def find_bar_clock_problem(config: Record, account: Record, header: FloatArray) -> tuple[int, int]:
    """Code and index of what makes `now` or the times of the bars unusable; (0, −1) if nothing."""
    if header[HAS_NOW] != 0.0:
        now = header[NOW_AT]
        if not isfinite(now):
            return NOT_FINITE * FIELD_SPAN + NOW, -1
        if now >= END_OF_TIME_S:
            return NOT_SECONDS * FIELD_SPAN + NOW, -1
    code = _find_late(config, header, account.last_timestamp, TIMESTAMPS)
    # Times that are not finite are passed over, so the last that is may not be that of the last.
    last = account.timestamp_count - 1
    return code, last if code != 0 and account.bad_timestamp < last else -1


@compiled
def find_trade_clock_problem(
    config: Record, account: Record, header: FloatArray
) -> tuple[int, int]:
    """As find_bar_clock_problem, and of the times of the trades."""
    code, at = find_bar_clock_problem(config, account, header)
    if code == 0:
        code = _find_late(config, header, account.last_trade_timestamp, TRADE_TIMESTAMPS)
        at = account.trade_count - 1 if code != 0 else -1
    return code, at


@compiled
def _find_late(config: Record, header: FloatArray, latest: float, field: int) -> int:
    """Code of what is wrong with the latest time of a series in order; 0 if nothing is."""
    if latest >= END_OF_TIME_S:
        return NOT_SECONDS * FIELD_SPAN + field
    if header[HAS_NOW] != 0.0:
        behind = MS_PER_SECOND * (header[NOW_AT] - latest)
        if behind < -config.feed_staleness_max_clock_skew_ms:
            return AHEAD_OF_NOW * FIELD_SPAN + field
    return 0
