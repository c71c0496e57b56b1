"""Bars from a WebSocket, one JSON object a message, as exchanges and data vendors send them."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from orchestrator.feeds.feed import FeedBar, FeedFault
from tradewind.errors import UnavailableError
from tradewind.market import Bar
from tradewind.market.checks import MAX_TIMESTAMP_NS, TIME_RULE

__all__ = ["WebSocketFeed", "parse_bar"]

_logger = logging.getLogger(__name__)

_MAX_MESSAGE_BYTES: Final = 64 * 1024
_SHOWN_CHARACTERS: Final = 120
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 90.0
_NUMBERS: Final = ("open", "high", "low", "close", "volume")


class WebSocketFeed:
    """Subscribes to symbols and receives their closed bars; a lost connection is made again.

    It sends `{"subscribe": ["BTC", …], "after_ns": 1569888000000000000}` first, so that a server
    can send what was missed, and expects `{"symbol": "BTC", "start_ns": …, "open": …, "high": …,
    "low": …, "close": …, "volume": …}` for each closed bar. What is not such an object is a
    FeedFault. The connection is tried again without end, at once after one that brought a new bar
    and ever more slowly, up to 90 s, after one that did not; what that costs shows as missing bars.
    It ends when the server closes it normally, with code 1000.

    Args:
        url: `ws://` or `wss://`.
        symbols: What to subscribe to.
        after_ns: Start of the last bar that is known already; None for new bars only.

    Raises:
        UnavailableError: While it is read: the server refuses the connection for good.
    """

    def __init__(self, url: str, symbols: Sequence[str], *, after_ns: int | None = None) -> None:
        self._url = url
        self._known_ns = dict.fromkeys(symbols, after_ns)

    async def __aiter__(self) -> AsyncIterator[FeedBar | FeedFault]:
        pause_s = _FIRST_PAUSE_S
        try:
            async for connection in connect(self._url, max_size=_MAX_MESSAGE_BYTES):
                with suppress(ConnectionClosed):
                    await connection.send(self._subscription())
                    async for message in connection:
                        item = parse_bar(message, time.time_ns())
                        if isinstance(item, FeedBar) and self._is_news(item):
                            pause_s = 0.0
                        yield item
                if connection.close_code == CloseCode.NORMAL_CLOSURE:
                    return  # the server has nothing more to send
                lost = connection.protocol.close_exc
                _logger.warning("feed %s: %s; trying again in %g s", self._url, lost, pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(max(2.0 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        except WebSocketException as problem:
            raise UnavailableError(f"feed {self._url}: {problem}") from problem

    def _subscription(self) -> str:
        # From the symbol that is furthest behind: bars of the others come twice, none is missed.
        known_ns = [start_ns for start_ns in self._known_ns.values() if start_ns is not None]
        after_ns = min(known_ns, default=None)
        return json.dumps({"subscribe": list(self._known_ns), "after_ns": after_ns})

    def _is_news(self, item: FeedBar) -> bool:
        """Takes note of a bar, but of none that would make the server leave out what is missed."""
        start_ns = item.bar.timestamp_ns
        if item.symbol not in self._known_ns or start_ns > item.arrived_ns:
            return False
        known_ns = self._known_ns[item.symbol]
        if known_ns is not None and start_ns <= known_ns:
            return False
        self._known_ns[item.symbol] = start_ns
        return True


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
