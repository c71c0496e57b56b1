"""Bars from a WebSocket, one JSON object a message, as exchanges and data vendors send them."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from orchestrator.feeds.feed import FeedBar, FeedFault, FormingBar
from orchestrator.feeds.silence import Patience, Silence
from orchestrator.markets import Markets
from tradewind.address import is_loopback
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
# How exchanges say whether a candle is closed: by a name of their own, as a boolean, 0, 1 or text.
_CLOSED_NAMES: Final = ("closed", "confirm", "x")
_CLOSED_WORDS: Final = {"true": True, "1": True, "false": False, "0": False}


class WebSocketFeed:
    """Subscribes to symbols and receives their closed bars; a lost connection is made again.

    It sends `{"subscribe": ["BTC", …], "after_ns": 1569888000000000000}` first, so that a server
    can send what was missed, and expects `{"symbol": "BTC", "start_ns": …, "open": …, "high": …,
    "low": …, "close": …, "volume": …}` for each closed bar. What is not such an object is a
    FeedFault. A message whose `closed`, `confirm` or `x` says that the bar is still forming is
    passed over; one whose `interval_ns` is another than that of the bars here is refused later.
    The connection is tried again without end, at once after one that brought a new bar
    and ever more slowly, up to 90 s, after one that did not; what that costs shows as missing bars.
    So is one that stays open but silent for as long as it takes to miss `silent_bars` bars, of all
    symbols or, half a bar later, of one of them. A server on this machine is called directly,
    whatever proxy the environment names.
    It ends when the server closes it normally, with code 1000.

    Args:
        url: `ws://` or `wss://`.
        symbols: What to subscribe to.
        after_ns: Start of the last bar that is known already; None for new bars only.
        markets: When there should be bars, and of what length; None learns the length from them.
        silent_bars: After so many bars that should have come and did not it subscribes again.

    Raises:
        UnavailableError: While it is read: the server refuses the connection for good.
    """

    def __init__(
        self,
        url: str,
        symbols: Sequence[str],
        *,
        after_ns: int | None = None,
        markets: Markets | None = None,
        silent_bars: int = 2,
    ) -> None:
        self._url = url
        self._known_ns = dict.fromkeys(symbols, after_ns)
        self._silence = Silence(silent_bars, markets)

    async def __aiter__(self) -> AsyncIterator[FeedBar | FeedFault]:
        pause_s = _FIRST_PAUSE_S
        try:
            async for connection in connect(
                self._url, max_size=_MAX_MESSAGE_BYTES, proxy=self._proxy()
            ):
                lost: object = None
                with suppress(ConnectionClosed):
                    await connection.send(self._subscription())
                    patience = Patience(self._silence, self._known_ns)
                    while (message := await _receive(connection, patience.until)) is not None:
                        item = parse_bar(message, time.time_ns())
                        if isinstance(item, FormingBar):
                            continue
                        if isinstance(item, FeedBar) and self._is_news(item):
                            pause_s = 0.0
                            patience.hears(item.symbol)
                        yield item
                    lost = f"connected, but {patience.end()}"
                    await connection.close(CloseCode.GOING_AWAY, "no new bar")
                if lost is None:
                    if connection.close_code == CloseCode.NORMAL_CLOSURE:
                        return  # the server has nothing more to send
                    lost = connection.protocol.close_exc
                _logger.warning("feed %s: %s; trying again in %g s", self._url, lost, pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(max(2.0 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        except WebSocketException as problem:
            raise UnavailableError(f"feed {self._url}: {problem}") from problem

    def _proxy(self) -> Literal[True] | None:
        """As the environment says; none to this machine, which no proxy can reach for us."""
        return None if is_loopback(urlsplit(self._url).hostname or "") else True

    def _subscription(self) -> str:
        # From the symbol that is furthest behind: bars of the others come twice, none is missed.
        known_ns = [start_ns for start_ns in self._known_ns.values() if start_ns is not None]
        after_ns = min(known_ns, default=None)
        return json.dumps({"subscribe": list(self._known_ns), "after_ns": after_ns})

    def _is_news(self, item: FeedBar) -> bool:
        """Takes note of a bar, but of none that would make the server leave out what is missed."""
        start_ns = item.bar.timestamp_ns
        interval_ns = self._silence.interval_ns
        closed_ns = start_ns if item.says_closed else self._silence.end_ns(item.symbol, start_ns)
        if item.symbol not in self._known_ns or closed_ns > item.arrived_ns:
            return False
        if item.interval_ns is not None and item.interval_ns != (interval_ns or item.interval_ns):
            return False
        known_ns = self._known_ns[item.symbol]
        if known_ns is not None and start_ns <= known_ns:
            return False
        self._known_ns[item.symbol] = start_ns
        self._silence.heard(item.symbol, start_ns)
        return True


async def _receive(connection: ClientConnection, until: float) -> str | bytes | None:
    """The next message; None when there is none until then, on the loop's clock."""
    try:
        async with asyncio.timeout_at(until):
            return await connection.recv()
    except TimeoutError:
        return None


def parse_bar(message: str | bytes, arrived_ns: int) -> FeedBar | FormingBar | FeedFault:
    """Reads a message; what is no bar becomes a fault that says why."""
    try:
        values: Any = json.loads(message)
        symbol = str(values["symbol"])
        symbol.encode()  # JSON can spell half a character, which nothing can store
        start_ns = int(values["start_ns"])
        if abs(start_ns) > MAX_TIMESTAMP_NS:
            raise ValueError(f"start_ns {TIME_RULE}")
        says = [_says_closed(name, values[name]) for name in _CLOSED_NAMES if name in values]
        if not all(says):
            return FormingBar(symbol, start_ns, arrived_ns)
        bar = Bar(start_ns, *(float(values[name]) for name in _NUMBERS))
        interval_ns = int(values["interval_ns"]) if "interval_ns" in values else None
        return FeedBar(symbol, bar, arrived_ns, bool(says), interval_ns)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as problem:
        shown = repr(message[:_SHOWN_CHARACTERS])
        return FeedFault(f"{shown} is no bar: {type(problem).__name__} {problem}", arrived_ns)


def _says_closed(name: str, value: object) -> bool:
    word = str(value).lower() if isinstance(value, bool | int | str) else ""
    if word not in _CLOSED_WORDS:
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return _CLOSED_WORDS[word]
