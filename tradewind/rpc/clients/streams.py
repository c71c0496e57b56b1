"""Open streams that are used one request at a time, blocking and on asyncio.

Answers belong to requests by their order alone, so a stream ends with the first failure: the late
answer to a request that was given up would be taken for that of the next one. From then on every
use of the stream raises that failure, and the caller opens another one.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc
from google.protobuf.message import Message

from tradewind.errors import TradewindError, UnavailableError
from tradewind.rpc.call_spans import NO_CALL_SPAN, ClientCallSpan
from tradewind.rpc.clients.call import Call, Exchange, describe, no_answer
from tradewind.rpc.request_ids import Metadata, request_metadata
from tradewind.rpc.status import code_of, error_from_rpc

__all__ = ["AsyncStream", "Stream", "async_exchange", "exchange"]

P = ParamSpec("P")
R = TypeVar("R")

_SEND_FAILED = "Internal error from Core"
"""What grpc.aio makes of a request that cannot be sent."""


class Stream:
    """An open stream; a context manager that ends it. Threads that share it take turns.

    Args:
        stub: The generated stub.
        exchange: The stream's method.
        timeout_s: How long an answer may take when the request does not say, in seconds.
        metadata: That of the call.
        span: That of the call.
    """

    def __init__(
        self,
        stub: Any,
        exchange: Exchange,
        timeout_s: float,
        metadata: Metadata = None,
        span: ClientCallSpan = NO_CALL_SPAN,
    ) -> None:
        self._exchange = exchange
        self._timeout_s = timeout_s
        self._requests: SimpleQueue[Message | None] = SimpleQueue()
        self._span = span
        self._answers = getattr(stub, exchange.method)(
            iter(self._requests.get, None),
            metadata=span.metadata(request_metadata(None, metadata)),
        )
        self._turn = threading.Lock()
        self._failure: TradewindError | None = None
        self._watchdog = _Watchdog(exchange.method, timeout_s, self._answers.cancel)

    def close(self) -> None:
        """Ends the stream; the server has then seen every request."""
        with self._turn:
            if self._failure is None:
                self._failure = _closed(self._exchange)
                self._requests.put(None)
                self._watchdog.expect_within(self._timeout_s)
                try:
                    next(self._answers, None)
                except grpc.RpcError:
                    pass  # every request has been answered: how the stream ends changes nothing
                finally:
                    self._end("OK")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, call: Call[R]) -> R:
        timeout_s = self._timeout_s if call.timeout_s is None else call.timeout_s
        with self._turn:
            if self._failure is not None:
                # The one exception every time, without what earlier calls added to its trace.
                raise self._failure.with_traceback(None)
            self._watchdog.expect_within(timeout_s)
            try:
                self._requests.put(self._exchange.wrap(call.request))
                answer = next(self._answers)
            except StopIteration:
                raise self._fail(_ended(self._exchange)) from None
            except grpc.RpcError as error:
                expired = self._watchdog.expired
                found = no_answer(self._exchange, timeout_s) if expired else error_from_rpc(error)
                raise self._fail(found) from None
            except BaseException:
                self._fail(_given_up(self._exchange))
                raise
            self._watchdog.stand_down()
        return call.parse(self._exchange.unwrap(answer))

    def _fail(self, failure: TradewindError) -> TradewindError:
        self._failure = failure
        self._requests.put(None)
        self._end(code_of(failure))
        return failure

    def _end(self, code: str) -> None:
        self._answers.cancel()
        self._watchdog.stop()
        self._span.end(code)


class _Watchdog:
    """Ends a stream whose answer is late: grpcio cannot wait for a message of one for so long only.

    Nothing but the due time is written for a request, unless it is due before the watchdog looks
    again anyway.

    Args:
        name: Name of the thread.
        timeout_s: How long an answer usually may take.
        expire: Ends the stream.
    """

    def __init__(self, name: str, timeout_s: float, expire: Callable[[], object]) -> None:
        self._timeout_s = timeout_s
        self._expire = expire
        self._due: float | None = None
        self._looks_at = math.inf
        self._wake = threading.Condition()
        self._stopped = False
        self.expired = False
        threading.Thread(target=self._run, name=f"{name}-watchdog", daemon=True).start()

    def expect_within(self, timeout_s: float) -> None:
        """An answer is due."""
        self._due = due = time.monotonic() + timeout_s
        if due < self._looks_at:
            with self._wake:
                self._wake.notify()

    def stand_down(self) -> None:
        """The answer has come."""
        self._due = None

    def stop(self) -> None:
        """Ends the thread."""
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def _run(self) -> None:
        with self._wake:
            while not self._stopped:
                # A request that comes from here on gives notice: none is missed between two looks.
                self._looks_at = math.inf
                now, due = time.monotonic(), self._due
                if due is not None and due <= now:
                    self.expired = True
                    self._expire()
                    return
                self._looks_at = now + self._timeout_s if due is None else due
                self._wake.wait(self._looks_at - now)


class AsyncStream:
    """An open stream; an asynchronous context manager that ends it. Tasks that share it take turns.

    Args:
        stub: The generated stub of an asyncio channel.
        exchange: The stream's method.
        timeout_s: How long an answer may take when the request does not say, in seconds.
        metadata: That of the call.
        span: That of the call.
    """

    def __init__(
        self,
        stub: Any,
        exchange: Exchange,
        timeout_s: float,
        metadata: Metadata = None,
        span: ClientCallSpan = NO_CALL_SPAN,
    ) -> None:
        self._exchange = exchange
        self._timeout_s = timeout_s
        self._span = span
        self._call = getattr(stub, exchange.method)(
            metadata=span.metadata(request_metadata(None, metadata))
        )
        self._turn = asyncio.Lock()
        self._failure: TradewindError | None = None

    async def close(self) -> None:
        """Ends the stream; the server has then seen every request."""
        async with self._turn:
            if self._failure is None:
                self._failure = _closed(self._exchange)
                try:
                    async with asyncio.timeout(self._timeout_s):
                        await self._call.done_writing()
                        await self._call.read()
                except (grpc.RpcError, TimeoutError):
                    pass  # every request has been answered: how the stream ends changes nothing
                finally:
                    self._call.cancel()
                    self._span.end("OK")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _ask(self, call: Call[R]) -> R:
        timeout_s = self._timeout_s if call.timeout_s is None else call.timeout_s
        async with self._turn:
            if self._failure is not None:
                # The one exception every time, without what earlier calls added to its trace.
                raise self._failure.with_traceback(None)
            try:
                async with asyncio.timeout(timeout_s):
                    if not self._call.done():  # then reading says why
                        await self._call.write(self._exchange.wrap(call.request))
                    answer = await self._call.read()
            except TimeoutError:
                raise self._fail(no_answer(self._exchange, timeout_s)) from None
            except grpc.aio.AioRpcError as error:
                # A send that fails hides the status that ended the stream.
                lost = error.details() == _SEND_FAILED
                found = _broken(self._exchange) if lost else error_from_rpc(error)
                raise self._fail(found) from None
            except BaseException:
                self._fail(_given_up(self._exchange))
                raise
            if answer is grpc.aio.EOF:
                raise self._fail(_ended(self._exchange))
        return call.parse(self._exchange.unwrap(answer))

    def _fail(self, failure: TradewindError) -> TradewindError:
        self._failure = failure
        self._call.cancel()
        self._span.end(code_of(failure))
        return failure


def exchange(build: Callable[P, Call[R]]) -> Callable[Concatenate[Stream, P], R]:
    """The method of a stream that sends one request and waits for its answer."""

    def method(self: Stream, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._ask(build(*args, **kwargs))

    describe(method, build)
    return method


def async_exchange(
    build: Callable[P, Call[R]],
) -> Callable[Concatenate[AsyncStream, P], Coroutine[Any, Any, R]]:
    """The method of a stream that sends one request and waits for its answer."""

    async def method(self: AsyncStream, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._ask(build(*args, **kwargs))

    describe(method, build)
    return method


def _closed(exchange: Exchange) -> UnavailableError:
    return UnavailableError(f"this {exchange.method} is closed")


def _ended(exchange: Exchange) -> UnavailableError:
    return UnavailableError(f"the server ended this {exchange.method}")


def _broken(exchange: Exchange) -> UnavailableError:
    return UnavailableError(f"the connection of this {exchange.method} broke")


def _given_up(exchange: Exchange) -> UnavailableError:
    return UnavailableError(f"a request on this {exchange.method} was given up; open another")
