"""Past bars at any speed."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import numpy as np

from orchestrator.feeds.feed import FeedBar, FeedFault
from tradewind.errors import InvalidInputError, MarketDataError
from tradewind.market import Bars

__all__ = ["HistoryFeed"]


class HistoryFeed:
    """Bars of several symbols in the order of their closes.

    Its clock is that of the market: each bar arrives when it closes, at any speed. A machine that
    is too slow for the speed is fed more slowly; what it takes itself is part of no bar's way
    here, and counts against the time in which a tick must be decided.

    Args:
        series: Bars of each symbol, all of one length; times need not be the same.
        speed: Times real time: 1 feeds an hour in an hour. None feeds as fast as the bars are
            taken.
        after_ns: Leaves out bars that close at this time or before.

    Raises:
        MarketDataError: There is no series, a symbol comes twice, or bars differ in length.
        InvalidInputError: The speed is not above 0.
    """

    def __init__(
        self, series: Sequence[Bars], *, speed: float | None = None, after_ns: int | None = None
    ) -> None:
        symbols = [bars.symbol for bars in series]
        if not series or len(set(symbols)) != len(symbols):
            raise MarketDataError(f"past bars need each symbol once, not {symbols}")
        if len({bars.interval_ns for bars in series}) > 1:
            raise MarketDataError("past bars must all be of one length")
        if speed is not None and not speed > 0.0:
            raise InvalidInputError(f"speed must be above 0: {speed}")
        self._series = tuple(series)
        self._speed = speed
        self._after_ns = after_ns

    async def __aiter__(self) -> AsyncIterator[FeedBar | FeedFault]:
        closes = np.concatenate([bars.close_times_ns for bars in self._series])
        places = [(bars, index) for bars in self._series for index in range(len(bars))]
        order = np.argsort(closes, kind="stable")  # symbols keep their order within one close
        if self._after_ns is not None:
            order = order[closes[order] > self._after_ns]
        due_ns, last_ns = float(time.monotonic_ns()), None
        for place in order.tolist():
            bars, index = places[place]
            close_ns = int(closes[place])
            if self._speed is not None:
                due_ns += (close_ns - (last_ns or close_ns)) / self._speed
                last_ns = close_ns
                while (early_ns := due_ns - time.monotonic_ns()) > 0:
                    await asyncio.sleep(early_ns / 1e9)
            yield FeedBar(bars.symbol, bars.bar(index), close_ns)
