"""Makes bars of what a feed of anyone's own yields, or says what is wrong with it."""

import inspect
import operator
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

from orchestrator.feeds.feed import FeedBar, FeedFault
from orchestrator.feeds.history import HistoryFeed
from orchestrator.feeds.websocket import WebSocketFeed
from tradewind.errors import ComponentError, FieldViolation, TradewindError, UnavailableError
from tradewind.market import Bar
from tradewind.part_options import told

__all__ = ["believed", "checked_bars"]


def believed(feed: AsyncIterable[FeedBar | FeedFault]) -> AsyncIterable[FeedBar | FeedFault]:
    """A feed whose bars are of the types that they should be of: Tradewind's own are as they are.

    Raises:
        ComponentError: What was opened is no feed.
    """
    if isinstance(feed, HistoryFeed | WebSocketFeed):
        return feed
    if not hasattr(feed, "__aiter__"):
        if inspect.iscoroutine(feed):
            feed.close()
        problem = f"bars gave {feed!r:.200}; expected: an asynchronous iterator of FeedBar"
        raise ComponentError("feed is refused", [FieldViolation("feed.kind", problem)])
    return checked_bars(feed)


async def checked_bars(feed: AsyncIterable[object]) -> AsyncIterator[FeedBar | FeedFault]:
    """What a feed yields, each of it of the types that it should be of.

    Numbers of NumPy and such become Python's; what is no bar becomes a fault.

    Raises:
        UnavailableError: The feed raised something that is no error of Tradewind's.
    """
    try:
        async for item in feed:
            yield _as_bar(item)
    except TradewindError:
        raise
    except Exception as problem:  # it is someone's own code
        raise UnavailableError(f"the feed raised {told(problem)}") from problem


def _as_bar(item: object) -> FeedBar | FeedFault:
    if isinstance(item, FeedFault):
        return FeedFault(f"{item.detail!s:.500}", time.time_ns())
    try:
        if not isinstance(item, FeedBar) or not isinstance(item.bar, Bar):
            raise TypeError(f"is {type(item).__name__}, no FeedBar with a Bar")
        if not isinstance(item.symbol, str):
            raise TypeError(f"symbol is {type(item.symbol).__name__}, no text")
        item.symbol.encode()  # half a character is none, and nothing can store it
        bar = item.bar
        start_ns = _whole(bar.timestamp_ns)
        prices = map(_number, (bar.open, bar.high, bar.low, bar.close, bar.volume))
        interval_ns = None if item.interval_ns is None else _whole(item.interval_ns)
        return FeedBar(
            item.symbol,
            Bar(start_ns, *prices),
            _whole(item.arrived_ns),
            item.says_closed is True,
            interval_ns,
        )
    except (TypeError, ValueError, OverflowError) as problem:
        return FeedFault(f"{item!r:.200}: {problem}", time.time_ns())


def _number(value: Any) -> float:
    if isinstance(value, str | bytes | bool):
        raise TypeError(f"{value!r} is no number")
    return float(value)


_whole: Callable[[Any], int] = operator.index
