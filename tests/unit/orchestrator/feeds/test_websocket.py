"""The WebSocket feed against real servers that drop, stall, talk nonsense or refuse."""

import asyncio
import http
import itertools
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from orchestrator.decision_log import RefusedBarRecord
from orchestrator.feeds import (
    BarFault,
    BarFlag,
    BarGuard,
    BarGuardSettings,
    FeedBar,
    FeedFault,
    FormingBar,
    Tick,
    WebSocketFeed,
    read_ticks,
    silence,
)
from orchestrator.feeds import websocket as module
from orchestrator.feeds.websocket import parse_bar
from orchestrator.markets import Markets
from tradewind.errors import UnavailableError
from tradewind.market.checks import MAX_TIMESTAMP_NS
from tradewind.market.markets import Market, market_named

STEP = 60_000_000_000
START = 1_600_000_020_000_000_000
SYMBOLS = ("BTC", "ETH")

Session = Callable[[ServerConnection], Awaitable[None]]
"""What the server does with one connection, after its subscription."""


def message(symbol: str, index: int, **changes: Any) -> str:
    prices = {"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.0, "volume": 5.0}
    return json.dumps({"symbol": symbol, "start_ns": START + index * STEP, **prices, **changes})


def says(*messages: str | bytes, code: int | None = 1000) -> Session:
    """Sends messages and closes with a code; without one the connection just breaks."""

    async def session(connection: ServerConnection) -> None:
        for text in messages:
            await connection.send(text)
        if code is None:
            await connection.ping()  # what was sent before is with the client when this returns
            connection.transport.abort()
        else:
            await connection.close(code)

    return session


class Vendor:
    """A server that goes through its sessions, one for each connection, and keeps what it heard."""

    def __init__(self, *sessions: Session) -> None:
        self._sessions = list(sessions)
        self.heard: list[dict[str, Any]] = []

    async def serve(self, connection: ServerConnection) -> None:
        self.heard.append(json.loads(await connection.recv()))
        await self._sessions.pop(0)(connection)

    def read(
        self,
        take: Callable[[WebSocketFeed], Awaitable[Any]],
        feed: dict[str, Any] | None = None,
        **options: Any,
    ) -> list[FeedBar | FeedFault | Tick]:
        """Serves while a feed is read."""

        async def run() -> Any:
            async with serve(self.serve, "127.0.0.1", 0, **options) as server:
                port = next(iter(server.sockets)).getsockname()[1]
                async with asyncio.timeout(30.0):
                    url = f"ws://127.0.0.1:{port}"
                    return await take(WebSocketFeed(url, SYMBOLS, **(feed or {})))

        return list(asyncio.run(run()))


async def items(feed: WebSocketFeed) -> list[FeedBar | FeedFault]:
    return [item async for item in feed]


async def ticks(feed: WebSocketFeed) -> list[Tick]:
    guard = BarGuard(BarGuardSettings(max_lateness_s=1e12), SYMBOLS, STEP)
    reading = read_ticks(feed, guard, SYMBOLS, interval_ns=STEP, wait_s=30.0)
    return [tick async for tick in reading]


def starts(bars: Sequence[Any]) -> list[tuple[str, int]]:
    return [(bar.symbol, (bar.bar.timestamp_ns - START) // STEP) for bar in bars]


def test_feed_with_a_broken_connection_asks_from_the_symbol_that_is_furthest_behind() -> None:
    far = message("ETH", 0, start_ns=MAX_TIMESTAMP_NS)  # it must not count as what is known
    vendor = Vendor(
        says(message("BTC", 0), message("ETH", 0), message("BTC", 1), far, code=None),
        says(message("BTC", 1), message("ETH", 1), message("BTC", 2), code=1012),
        says(message("ETH", 2)),
    )
    received = vendor.read(items)
    assert [heard["after_ns"] for heard in vendor.heard] == [None, START, START + STEP]
    assert all(heard["subscribe"] == list(SYMBOLS) for heard in vendor.heard)
    order = [("BTC", 0), ("ETH", 0), ("BTC", 1), ("BTC", 1), ("ETH", 1), ("BTC", 2), ("ETH", 2)]
    assert starts([item for item in received if item != received[3]]) == order


GARBAGE: tuple[str | bytes, ...] = (
    "",
    "no bar",
    "[]",
    '{"symbol": "BTC"}',
    b"\xff\xfe",
    "[" * 60_000,
    message("BTC", 0, start_ns=10**30),
    message("BTC", 0, open="a lot"),
    message("\ud800", 0),
)


def test_feed_with_garbage_and_absurd_bars_says_so_and_goes_on() -> None:
    absurd = (message("BTC", 0, close=float("nan")), message("BTC", 0, high=1.0))
    vendor = Vendor(says(*GARBAGE, *absurd, *(message(symbol, 0) for symbol in SYMBOLS)))
    (tick,) = vendor.read(ticks)
    assert isinstance(tick, Tick)
    assert [bar.symbol for bar in tick.bars] == list(SYMBOLS)
    faults = [BarFault.MALFORMED] * len(GARBAGE) + [BarFault.ABSURD] * len(absurd)
    assert [refused.fault for refused in tick.refused] == faults
    assert all(isinstance(item, RefusedBarRecord) and item.detail for item in tick.refused)
    assert "start_ns is not from 1875 to 2064" in tick.refused[6].detail


def test_feed_with_a_slow_server_does_not_hold_up_the_tick() -> None:
    seen = asyncio.Event()

    async def stall(connection: ServerConnection) -> None:
        await connection.send(message("BTC", 0))
        await seen.wait()
        for text in (message("ETH", 0), message("BTC", 1), message("ETH", 1)):
            await connection.send(text)
        await connection.close()

    async def take(feed: WebSocketFeed) -> list[Tick]:
        guard = BarGuard(BarGuardSettings(max_lateness_s=1e12), SYMBOLS, STEP)
        taken = []
        async for tick in read_ticks(feed, guard, SYMBOLS, interval_ns=STEP, wait_s=0.05):
            taken.append(tick)
            seen.set()
        return taken

    first, *rest = Vendor(stall).read(take)
    assert isinstance(first, Tick)
    assert [bar.symbol for bar in first.bars] == ["BTC"]
    late = next(bar for tick in rest if isinstance(tick, Tick) for bar in tick.bars)
    assert (late.symbol, late.start_ns, late.flags) == ("ETH", START, (BarFlag.LATE,))


def test_feed_with_a_server_that_brings_nothing_new_waits_ever_longer_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.003)
    same = message("BTC", 0)
    vendor = Vendor(
        says(code=1011),
        says("x" * 70_000, code=1011),  # too long: the client closes
        says(same, code=1011),
        says(same, code=1011),
        says("garbage", code=1011),
        says(code=None),
        says(),
    )
    with caplog.at_level(logging.WARNING, module.__name__):
        vendor.read(items)
    lost = [record.args for record in caplog.records if record.name == module.__name__]
    pauses = [args[-1] for args in lost if isinstance(args, tuple)]
    assert pauses == [0.001, 0.002, 0.0, 0.001, 0.002, 0.003]
    assert "1009 (message too big)" in caplog.text


def test_feed_with_a_server_that_is_not_ready_yet_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("websockets.client.random.random", lambda: 0.0)  # the first pause
    answers = [http.HTTPStatus.SERVICE_UNAVAILABLE]

    def respond(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(answers.pop(), "") if answers else None

    received = Vendor(says(message("BTC", 0))).read(items, process_request=respond)
    assert starts(received) == [("BTC", 0)]


def test_feed_with_a_server_that_refuses_it_for_good_ends_with_the_reason() -> None:
    def respond(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "")

    with pytest.raises(UnavailableError, match=r"feed ws://127\.0\.0\.1.*401"):
        Vendor().read(items, process_request=respond)


@pytest.mark.parametrize("name", ["closed", "confirm", "x"])
@pytest.mark.parametrize(
    ("value", "closed"),
    [
        *((value, True) for value in (True, 1, "1", "true")),
        *((value, False) for value in (False, 0, "0", "False")),
    ],
)
def test_message_that_says_whether_its_bar_is_closed_is_believed(
    name: str, value: object, closed: bool
) -> None:
    found = parse_bar(message("BTC", 0, **{name: value}), START + 2 * STEP)
    assert isinstance(found, FeedBar if closed else FormingBar)
    assert getattr(found, "says_closed", closed) == closed


@pytest.mark.parametrize("value", [None, "perhaps", 2, 0.5, [], {"a": 1}])
def test_message_that_says_nothing_clear_of_its_close_is_no_bar(value: object) -> None:
    found = parse_bar(message("BTC", 0, closed=value), START + 2 * STEP)
    assert isinstance(found, FeedFault)
    assert "closed must be true or false" in found.detail


def test_message_of_which_one_word_says_forming_is_forming() -> None:
    assert isinstance(parse_bar(message("BTC", 0, closed=True, x=False), START), FormingBar)


def test_feed_with_candles_that_form_asks_again_for_the_one_that_never_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_ns = START + STEP + STEP // 2  # halfway through the second bar
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)
    forming = (message("BTC", 1, closed=False), message("BTC", 1))  # said, and not said
    vendor = Vendor(says(message("BTC", 0, closed=True), *forming, code=1012), says())
    always_open = Markets({"BTC": market_named("always-open")}, STEP)
    received = vendor.read(items, feed={"markets": always_open})
    assert starts(received) == [("BTC", 0), ("BTC", 1)]  # the guard refuses the latter: FUTURE
    assert [heard["after_ns"] for heard in vendor.heard] == [None, START]


class Quiet:
    """A server that says the same to each connection and then nothing more; it answers pings."""

    def __init__(self, *messages: str, connections: int) -> None:
        self._messages = messages
        self._connections = connections
        self.closed_by_client: list[int | None] = []

    async def serve(self, connection: ServerConnection) -> None:
        await connection.recv()
        for text in self._messages:
            await connection.send(text)
        if len(self.closed_by_client) == self._connections - 1:
            await connection.close()
        await connection.wait_closed()
        received = connection.protocol.close_rcvd
        self.closed_by_client.append(None if received is None else int(received.code))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(silence, "_SHORTEST_NS", 200_000_000)


@pytest.mark.usefixtures("impatient")
def test_feed_that_is_connected_but_silent_is_asked_again_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tiny = 5_000_000  # nanoseconds: bars of 5 ms, which it learns from those that come
    bars = [message("BTC", 0, start_ns=START + index * tiny) for index in range(3)]
    server = Quiet(*bars, *bars, message("DOGE", 0), connections=4)
    with caplog.at_level(logging.WARNING, module.__name__):
        received = read_quiet(server)
    assert server.closed_by_client[:3] == [1001] * 3
    assert {item.symbol for item in received if isinstance(item, FeedBar)} == {"BTC", "DOGE"}
    said = [record.message for record in caplog.records if "no new bar" in record.message]
    assert len(said) == 3
    # The same bars are no news, nor are those of a stranger: asking in vain takes ever longer.
    waited = [float(text.partition("for ")[2].partition(" s")[0]) for text in said]
    assert waited == sorted(waited)
    assert waited[-1] >= 2 * waited[0] == 0.4


def always_open(interval_ns: int) -> Markets:
    return Markets(dict.fromkeys(SYMBOLS, market_named("always-open")), interval_ns)


def read_quiet(server: Quiet, **options: Any) -> list[FeedBar | FeedFault]:
    async def run() -> list[FeedBar | FeedFault]:
        async with serve(server.serve, "127.0.0.1", 0) as listening:
            port = next(iter(listening.sockets)).getsockname()[1]
            async with asyncio.timeout(30.0):
                return await items(WebSocketFeed(f"ws://127.0.0.1:{port}", SYMBOLS, **options))

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("market", "last", "now", "bars", "until"),
    [
        # Friday's last bar, half a second after the close: to the end of the second on Monday.
        ("XNYS", "2019-11-22T20:30", "2019-11-22T21:00:00.5", 2, "2019-11-25T15:30"),
        ("XNYS", "2019-11-22T20:30", "2019-11-23T12:13", 2, "2019-11-25T15:30"),  # asked again
        # The bar before it: the last one and Monday's first are missed on Monday at 15:00.
        ("XNYS", "2019-11-22T20:00", "2019-11-22T20:30:00.5", 2, "2019-11-25T15:00"),
        ("XNYS", "2019-11-22T19:30", "2019-11-22T20:00:00.5", 2, "2019-11-22T21:00"),
        ("XNYS", "2019-11-29T17:30", "2019-11-29T18:00:00.5", 1, "2019-12-02T15:00"),  # a half day
        ("fx-week", "2019-12-06T21:30", "2019-12-06T22:00:00.5", 1, "2019-12-08T22:30"),
        ("always-open", "2019-11-23T12:00", "2019-11-23T12:30:00.5", 2, "2019-11-23T13:30"),
        (None, "2019-11-23T12:00", "2019-11-23T12:30:00.5", 2, "2019-11-23T13:30"),
        # What was missed long ago is being made up for, or nothing has come yet.
        ("always-open", "2019-11-01T12:00", "2019-11-23T12:30:00.5", 2, "2019-11-23T13:30"),
        ("always-open", None, "2019-11-23T12:30:00.5", 2, "2019-11-23T13:30"),
        ("XNYS", None, "2019-11-23T12:30:00.5", 2, "2019-11-25T15:30"),
        # Late as it is: it has five seconds all the same.
        ("always-open", "2019-11-23T12:00", "2019-11-23T12:59:59", 1, "2019-11-23T13:00:04"),
    ],
)
def test_silence_counts_the_bars_of_the_market_alone(
    market: str | None, last: str | None, now: str, bars: int, until: str
) -> None:
    known: Market | None = None if market is None else market_named(market)
    half_hour = 1_800 * 10**9
    silent = silence.Silence(bars, Markets({"X": known}, half_hour))
    if last is not None:
        silent.heard("X", ns(last))
    assert silent.allowed_ns(ns(now)) == ns(until) - ns(now)


@pytest.mark.parametrize(
    ("symbol", "now", "until"),
    [
        # Of ETH, whose last bar began at 20:00 on Friday: half a bar after those of 13:00 on Monday
        # would have closed, when the bars of others do not come.
        ("ETH", "2019-11-22T20:30:00.5", "2019-11-25T15:15"),
        ("ETH", "2019-11-25T15:15:01", "2019-11-25T16:15"),  # asked again
        ("BTC", "2019-11-22T20:30:00.5", "2019-11-22T21:45"),
        ("NEW", "2019-11-22T20:30:00.5", "2019-11-22T21:45"),  # nothing is known of its market
    ],
)
def test_silence_of_one_symbol_counts_the_bars_of_its_own_market(
    symbol: str, now: str, until: str
) -> None:
    half_hour = 1_800 * 10**9
    markets = Markets({"BTC": market_named("always-open"), "ETH": market_named("XNYS")}, half_hour)
    silent = silence.Silence(2, markets)
    for name in ("BTC", "ETH"):
        silent.heard(name, ns("2019-11-22T20:00"))
    assert silent.allowed_ns(ns(now), symbol) == ns(until) - ns(now)


def test_silence_of_one_symbol_that_is_asked_for_in_vain_takes_ever_longer_and_no_other_does() -> (
    None
):
    minute = 60 * 10**9
    silent = silence.Silence(
        2, Markets(dict.fromkeys(SYMBOLS, market_named("always-open")), minute)
    )
    for name in SYMBOLS:
        silent.heard(name, START)
    allowed = []
    for _ in range(5):
        allowed.append(silent.allowed_ns(START + minute, "ETH") // minute)
        silent.asks_in_vain(["ETH"])
        silent.heard("BTC", START + minute)
    assert allowed == [2, 4, 8, 16, 16]
    assert silent.allowed_ns(START + minute, "BTC") < 4 * minute
    silent.heard("ETH", START + minute)
    assert silent.allowed_ns(START + 2 * minute, "ETH") // minute == 2
    silent.asks_in_vain()  # the whole feed: each of its symbols
    assert silent.allowed_ns(START + 2 * minute, "ETH") // minute == 4


def test_feed_one_of_whose_symbols_alone_is_silent_subscribes_again_from_its_last_bar(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "_SHORTEST_NS", 2 * 10**9)  # also a slow machine sends BTC in it
    tiny = 20_000_000  # nanoseconds: bars of 20 ms

    def at(symbol: str, index: int) -> str:
        return message(symbol, 0, start_ns=START + index * tiny)

    async def forget(connection: ServerConnection) -> None:
        """Sends ETH once and BTC for ever, as a server that has lost half of a subscription."""
        await connection.send(at("ETH", 0))
        with suppress(ConnectionClosed):
            for index in itertools.count():
                await connection.send(at("BTC", index))
                await asyncio.sleep(0.02)

    vendor = Vendor(forget, says(at("ETH", 1)))
    with caplog.at_level(logging.WARNING, module.__name__):
        received = vendor.read(items, feed={"markets": always_open(tiny)})
    assert [heard["after_ns"] for heard in vendor.heard] == [None, START]
    assert all(heard["subscribe"] == list(SYMBOLS) for heard in vendor.heard)
    assert isinstance(received[-1], FeedBar)
    assert (received[-1].symbol, received[-1].bar.timestamp_ns) == ("ETH", START + tiny)
    (said,) = [record.message for record in caplog.records if "no new bar" in record.message]
    assert "no new bar of ETH for" in said


@pytest.mark.parametrize("name", ["http_proxy", "ws_proxy", "all_proxy", "socks_proxy"])
def test_feed_on_this_machine_is_called_without_the_proxy_of_the_environment(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    assert starts(Vendor(says(message("BTC", 0))).read(items)) == [("BTC", 0)]


@pytest.mark.parametrize(
    ("host", "proxied"),
    [("localhost", False), ("[::1]", False), ("127.8.9.1", False), ("feed.example", True)],
)
def test_feed_elsewhere_is_called_through_it(host: str, proxied: bool) -> None:
    assert WebSocketFeed(f"wss://{host}:443/x", SYMBOLS)._proxy() is (True if proxied else None)


def ns(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000) * 10**6
