"""Staleness of the market data: the age of the feed that was updated longest ago.

    max_feed_staleness_ms = 1000 · (now − oldest feed timestamp)

Both clocks are the caller's. A feed that is later than now by more than the allowed skew makes the
metric unavailable: such a timestamp is in another unit or from a wrong clock, and would hide how
stale the feed is.
"""

from math import inf, isfinite
from typing import Final

from pydantic import Field

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.clock import MS_PER_SECOND
from tradewind.risk.engine.result import put, refuse
from tradewind.risk.engine.snapshot import HAS_NOW, NOW_AT
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import (
    ABSENT,
    AHEAD_OF_NOW,
    FEED_TIMESTAMPS,
    FIELD_SPAN,
    NOT_FINITE,
    NOW,
)

__all__ = ["FEED_STALENESS", "FeedStalenessSettings"]

METRICS: Final = {
    "max_feed_staleness_ms": "ms",
}


class FeedStalenessSettings(CalculatorSettings):
    """Settings of feed_staleness."""

    max_clock_skew_ms: float = Field(default=1_000.0, ge=0)
    """How much later than now a time may be: that of a feed, a bar or a trade, and also while this
    calculator is disabled."""


@compiled
def calculate_feed_staleness(
    config: Record, header: FloatArray, feeds: FloatArray, out: FloatArray
) -> None:
    """Writes the metrics of METRICS."""
    first = config.feed_staleness
    now = header[NOW_AT]
    if feeds.size == 0:
        refuse(out, first, 1, ABSENT * FIELD_SPAN + FEED_TIMESTAMPS, -1, 0)
        return
    if header[HAS_NOW] == 0.0:
        refuse(out, first, 1, ABSENT * FIELD_SPAN + NOW, -1, 0)
        return
    if not isfinite(now):
        refuse(out, first, 1, NOT_FINITE * FIELD_SPAN + NOW, -1, 0)
        return
    stalest = -inf
    for feed in range(feeds.size):
        staleness = MS_PER_SECOND * (now - feeds[feed])
        if not isfinite(feeds[feed]):
            refuse(out, first, 1, NOT_FINITE * FIELD_SPAN + FEED_TIMESTAMPS, feed, 0)
            return
        if staleness < -config.feed_staleness_max_clock_skew_ms:
            refuse(out, first, 1, AHEAD_OF_NOW * FIELD_SPAN + FEED_TIMESTAMPS, feed, 0)
            return
        stalest = max(stalest, staleness)
    put(out, first, stalest)


FEED_STALENESS: Final = CompiledCalculator(
    name="feed_staleness",
    version=1,
    order=130,
    settings=FeedStalenessSettings,
    metrics=lambda _: METRICS,
    kernel=calculate_feed_staleness,
    needs=("feed_timestamps", "now"),
    after=("time",),
)
