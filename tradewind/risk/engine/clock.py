"""The time of an account, and what cannot be a time of it.

Times are seconds since the epoch. One that is later than `now` by more than the allowed skew, or so
large that it must be in another unit, would empty every window that ends at the latest time known:
what depends on times is then unavailable, never 0.

Without `now` the last bar tells the time: a trade may be of the bar under way, and so later than
the last one by a bar and the skew. At least half of the latest SPACINGS between bars are as long as
a bar is taken to be, so that no night or week-end makes it longer. Of trades alone the latest tells
the time. A bar, or one of trades alone, that is more than a year later than the one before it tells
nothing.

A trade from before UNSET_BEFORE_S beside bars and a clock of this century was stamped by a clock
that was not set, or in minutes, hours or days: it would count as old, and hide what was traded.
"""

from math import inf, isfinite, nan
from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.snapshot import HAS_NOW, NOW_AT
from tradewind.risk.inputs import END_OF_TIME_S, FloatArray
from tradewind.risk.reasons import (
    AFTER_PAUSE,
    AHEAD_OF_BARS,
    AHEAD_OF_NOW,
    FIELD_SPAN,
    NOT_FINITE,
    NOT_SECONDS,
    NOT_SET,
    NOW,
    TIMESTAMPS,
    TRADE_TIMESTAMPS,
)

__all__ = [
    "MS_PER_SECOND",
    "SPACINGS",
    "find_bar_clock_problem",
    "find_trade_clock_problem",
    "latest_time",
]

MS_PER_SECOND = 1_000.0
SPACINGS: Final = 8
UNSET_BEFORE_S: Final = 1e8
"""In March 1973. What time it is in minutes since the epoch is less until the year 2160."""
CENTURY_S: Final = 946_684_800.0
"""2000-01-01."""


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
    if code != 0:
        return code, last if account.bad_timestamp < last else -1
    oldest = max(account.timestamp_count - _bars_looked_at(config), 0)
    if header[HAS_NOW] == 0.0 and account.bar_after_pause >= oldest:
        return AFTER_PAUSE * FIELD_SPAN + TIMESTAMPS, account.bar_after_pause
    return 0, -1


@compiled
def find_trade_clock_problem(
    config: Record, account: Record, header: FloatArray, timestamps: FloatArray
) -> tuple[int, int]:
    """As find_bar_clock_problem, and of the times of the trades.

    Args:
        config: Settings.
        account: The account.
        header: Head of its snapshot.
        timestamps: Of the latest bars: SPACINGS + 1 of them, or more, or as many as there are.
    """
    code, at = find_bar_clock_problem(config, account, header)
    if code != 0:
        return code, at
    if account.bad_trade >= 0:
        return account.bad_trade_kind * FIELD_SPAN + TRADE_TIMESTAMPS, account.bad_trade
    code = _find_late(config, header, account.last_trade_timestamp, TRADE_TIMESTAMPS)
    if code != 0:
        return code, account.trade_count - 1
    if header[HAS_NOW] == 0.0 and account.last_timestamp > -inf:
        if _is_beyond_a_bar(config, account, timestamps):
            return AHEAD_OF_BARS * FIELD_SPAN + TRADE_TIMESTAMPS, account.trade_count - 1
    elif header[HAS_NOW] == 0.0 and account.trade_after_pause >= 0:
        return AFTER_PAUSE * FIELD_SPAN + TRADE_TIMESTAMPS, account.trade_after_pause
    known = min(account.first_timestamp, latest_time(account, header))
    if account.first_trade_timestamp < UNSET_BEFORE_S and known >= CENTURY_S:
        return NOT_SET * FIELD_SPAN + TRADE_TIMESTAMPS, account.first_trade
    return 0, -1


@compiled
def _is_beyond_a_bar(config: Record, account: Record, timestamps: FloatArray) -> bool:
    """Whether the last trade is later than the bar that follows the last one could end."""
    ahead = account.last_trade_timestamp - account.last_timestamp
    ahead -= config.feed_staleness_max_clock_skew_ms / MS_PER_SECOND
    if ahead <= 0.0:
        return False
    spacings = as_long = 0
    for index in range(max(timestamps.size - SPACINGS, 1), timestamps.size):
        spacing = timestamps[index] - timestamps[index - 1]
        spacings += isfinite(spacing)
        as_long += spacing >= ahead
    return bool(spacings == 0 or 2 * as_long < spacings)


@compiled
def _bars_looked_at(config: Record) -> int:
    """Bars before the last one that the velocity of the drawdown looks back over, or more."""
    return max(2 * int(config.drawdown_velocity_window_bars), SPACINGS)


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
