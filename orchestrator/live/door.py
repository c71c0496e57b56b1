"""How many may connect to the live view, how often they may ask, and how long they may take.

Everything that a client can take of this machine is bounded: connections, how fast new ones come,
requests a second of one and of all, the time for a request's head, its body and for taking its
answer. Who is over a bound waits a little or is refused; nobody who looks is kept out by those who
only hold connections open, for the one that is idle longest makes room.
"""

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from tradewind.address import host_and_port, loopback_dial_address

__all__ = ["Bounds", "Door"]

_CLOSE_S: Final = 1.0
_BACKLOG: Final = 128
_FULL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clients may take."""

    connections: int = 128
    new_per_s: float = 100.0
    new_burst: int = 64
    requests_per_s: float = 50.0
    requests_burst: int = 200
    own_per_s: float = 10.0
    own_burst: int = 40
    longest_wait_s: float = 2.0
    """A request that would wait longer for its turn is refused."""

    idle_s: float = 10.0
    """Until the head of a request must be there, and between two requests."""

    answer_s: float = 10.0
    """For the body of a request, for its answer, and until that is taken."""

    young_s: float = 1.0
    """How long a connection without a request is safe from making room for another."""


class _Turns:
    """Turns at a rate, some of them at once after a pause."""

    def __init__(self, per_s: float, burst: int, now: float) -> None:
        self._step_s = 1.0 / per_s
        self._ahead_s = burst / per_s
        self._next_at = now - self._ahead_s

    def take(self, now: float, longest_wait_s: float = float("inf")) -> float | None:
        """Seconds until the next turn, which is taken; None when that would be too long."""
        at = max(self._next_at, now - self._ahead_s) + self._step_s
        if at - now > longest_wait_s:
            return None
        self._next_at = at
        return max(at - now, 0.0)


@dataclass(slots=True, eq=False)
class _Visitor:
    """One connection."""

    protocol: web.RequestHandler
    turns: _Turns
    since: float
    busy: int = 0
    limit: asyncio.Timeout | None = None
    turn_at: dict[str, float] = field(default_factory=dict)
    is_connected: bool = False

    @property
    def is_gone(self) -> bool:
        transport = self.protocol.transport
        return self.is_connected and (transport is None or transport.is_closing())

    def get_protocol(self) -> web.RequestHandler:
        return self.protocol

    def close(self) -> None:
        transport = self.protocol.transport
        if transport is not None:
            transport.abort()


class Door:
    """Serves an application to at most as much as its bounds allow.

    Args:
        bounds: What clients may take.

    Attributes:
        refused_count: Requests and connections that were over a bound.
        address: `HOST:PORT` by which it is reached from this machine; set by `open`.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._visitors: dict[object, _Visitor] = {}
        self._accepting: list[asyncio.Task[None]] = []
        self._sockets: list[socket.socket] = []
        self._runner: web.AppRunner | None = None
        self.refused_count = 0
        self.address = ""

    async def open(self, application: web.Application, listen: str) -> None:
        """Begins to listen.

        Args:
            application: What is served; its first middleware must be this door's.
            listen: `HOST:PORT`.

        Raises:
            OSError: The address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        host, port = host_and_port(listen)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_CLOSE_S,
            keepalive_timeout=self._bounds.idle_s,
            lingering_time=_CLOSE_S,
        )
        self._turns = _Turns(self._bounds.requests_per_s, self._bounds.requests_burst, loop.time())
        await self._runner.setup()
        try:
            found = await loop.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, _, _, _, address in dict.fromkeys(found):
                # A name may stand for several addresses; a free port is the same for all of them.
                at = (address[0], port or self._port())
                listener = socket.create_server(at, family=family, backlog=_BACKLOG)
                listener.setblocking(False)
                self._sockets.append(listener)
        except OSError:
            await self.close()
            raise
        self.address = loopback_dial_address(host, self._port())
        self._accepting = [loop.create_task(self._accept(item)) for item in self._sockets]

    async def close(self) -> None:
        """Stops to listen and ends every connection."""
        for task in self._accepting:
            task.cancel()
        for task in self._accepting:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for listener in self._sockets:
            listener.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def middleware(self) -> Middleware:
        """Has every request wait for its turn, and its answer be taken in time."""

        @web.middleware
        async def bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
            visitor = self._visitors.get(request.protocol)
            if visitor is None:  # closed by us while it was read
                raise web.HTTPServiceUnavailable(text="this connection has been closed")
            visitor.busy += 1
            try:
                await self._wait_for_turn(visitor)
                return await self._answer(request, handler, visitor)
            finally:
                visitor.busy -= 1
                visitor.since = asyncio.get_running_loop().time()

        return bounded

    async def space_out(self, request: web.Request, what: str, seconds: float) -> None:
        """Lets a connection have something at most every so many seconds; waits until then."""
        visitor = self._visitors.get(request.protocol)
        if visitor is None:
            return
        now = asyncio.get_running_loop().time()
        at = max(visitor.turn_at.get(what, 0.0), now)
        visitor.turn_at[what] = at + seconds
        await asyncio.sleep(at - now)

    def let_stay(self, request: web.Request) -> None:
        """Takes the time limit from a request that lasts as long as somebody looks."""
        visitor = self._visitors.get(request.protocol)
        if visitor is not None and visitor.limit is not None:
            visitor.limit.reschedule(None)

    def _port(self) -> int:
        return int(self._sockets[0].getsockname()[1]) if self._sockets else 0

    async def _wait_for_turn(self, visitor: _Visitor) -> None:
        now = asyncio.get_running_loop().time()
        longest = self._bounds.longest_wait_s
        waits = [turns.take(now, longest) for turns in (visitor.turns, self._turns)]
        if None in waits:
            self.refused_count += 1
            refusal = web.HTTPTooManyRequests(
                text="too many requests: ask more slowly", headers={"Retry-After": "2"}
            )
            refusal.force_close()
            raise refusal
        await asyncio.sleep(max(wait for wait in waits if wait is not None))

    async def _answer(
        self, request: web.Request, handler: Handler, visitor: _Visitor
    ) -> web.StreamResponse:
        try:
            async with asyncio.timeout(self._bounds.answer_s) as visitor.limit:
                response = await handler(request)
                if not response.prepared:
                    await response.prepare(request)
                    await response.write_eof()
                return response
        except TimeoutError:
            self.refused_count += 1
            visitor.close()
            raise web.HTTPRequestTimeout(text="it took too long") from None

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        turns = _Turns(self._bounds.new_per_s, self._bounds.new_burst, loop.time())
        while True:
            # Who is not let in yet waits in the kernel, where it costs nothing.
            await asyncio.sleep(turns.take(loop.time()) or 0.0)
            connection, _ = await loop.sock_accept(listener)
            while not self._make_room():
                await asyncio.sleep(_FULL_S)
            assert self._runner is not None
            assert self._runner.server is not None
            protocol = self._runner.server()
            now = loop.time()
            own = _Turns(self._bounds.own_per_s, self._bounds.own_burst, now)
            visitor = self._visitors[protocol] = _Visitor(protocol, own, now)
            try:
                await loop.connect_accepted_socket(visitor.get_protocol, connection)
                visitor.is_connected = True
            except OSError:
                self._visitors.pop(protocol, None)
                connection.close()

    def _make_room(self) -> bool:
        """Whether one more may come in; the one that was idle longest is sent away for it."""
        if len(self._visitors) < self._bounds.connections:
            return True
        self._forget_gone()
        if len(self._visitors) < self._bounds.connections:
            return True
        now = asyncio.get_running_loop().time()
        idle = [item for item in self._visitors.values() if not item.busy]
        longest = min(idle, key=lambda item: item.since, default=None)
        if longest is None or now - longest.since < self._bounds.young_s:
            return False
        self.refused_count += 1
        longest.close()
        del self._visitors[longest.protocol]
        return True

    def _forget_gone(self) -> None:
        gone = [key for key, item in self._visitors.items() if item.is_gone and not item.busy]
        for key in gone:
            del self._visitors[key]
