"""Bars from a WebSocket, one JSON object a message, as exchanges and data vendors send them."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from orchestrator.feeds.feed import FeedBar, FeedFault
from tradewind.market import Bar
from tradewind.market.checks import MAX_TIMESTAMP_NS, TIME_RULE

__all__ = ["WebSocketFeed", "parse_bar"]

_MAX_MESSAGE_BYTES: Final = 64 * 1024
_SHOWN_CHARACTERS: Final = 120
_NUMBERS: Final = ("open", "high", "low", "close", "volume")


class WebSocketFeed:
    """Subscribes to symbols and receives their closed bars; a lost connection is made again.

    It sends `{"subscribe": ["BTC", …], "after_ns": 1569888000000000000}` first, so that a server
    can send what was missed, and expects `{"symbol": "BTC", "start_ns": …, "open": …, "high": …,
    "low": …, "close": …, "volume": …}` for each closed bar. What is not such an object is a
    FeedFault. The connection is tried again without end, ever more slowly up to 90 s; what that
    costs shows as missing bars.

    Args:
        url: `ws://` or `wss://`.
        symbols: What to subscribe to.
        after_ns: Start of the last bar that is known already; None for new bars only.
    """

    def __init__(self, url: str, symbols: Sequence[str], *, after_ns: int | None = None) -> None:
        self._url = url
        self._symbols = list(symbols)
        self._after_ns = after_ns

    async def __aiter__(self) -> AsyncIterator[FeedBar | FeedFault]:
        async for connection in connect(self._url, max_size=_MAX_MESSAGE_BYTES):
            try:
                subscription = {"subscribe": self._symbols, "after_ns": self._after_ns}
                await connection.send(json.dumps(subscription))
                async for message in connection:
                    item = parse_bar(message, time.time_ns())
                    if isinstance(item, FeedBar):
                        self._after_ns = max(self._after_ns or 0, item.bar.timestamp_ns)
                    yield item
                if connection.close_code == 1000:  # the server has nothing more to send
                    return
            except ConnectionClosed:
                continue


def parse_bar(message: str | bytes, arrived_ns: int) -> FeedBar | FeedFault:
    """Reads a message; what is no bar becomes a fault that says why."""
    try:
        values: Any = json.loads(message)
        symbol = str(values["symbol"])
        symbol.encode()  # JSON can spell half a character, which nothing can store
        start_ns = int(values["start_ns"])
        if abs(start_ns) > MAX_TIMESTAMP_NS:
            raise ValueError(f"start_ns {TIME_RULE}")
        bar = Bar(start_ns, *(float(values[name]) for name in _NUMBERS))
        return FeedBar(symbol, bar, arrived_ns)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as problem:
        shown = repr(message[:_SHOWN_CHARACTERS])
        return FeedFault(f"{shown} is no bar: {type(problem).__name__} {problem}", arrived_ns)
