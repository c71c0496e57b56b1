"""What every call passes through: error mapping and call metrics, for any servicer."""

from __future__ import annotations  # grpcio's own classes are generic in their stubs only

import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from google.rpc import code_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry, Counter, Histogram

from tradewind.errors import (
    InvalidInputError,
    OverloadedError,
    TradewindError,
    UnavailableError,
)
from tradewind.rpc.access import AccessControl
from tradewind.rpc.handlers import Handler, wrap_handler
from tradewind.rpc.request_ids import keep_trailers
from tradewind.rpc.server.arrival import Door
from tradewind.rpc.server.call_scope import CallScopes, log_failure
from tradewind.rpc.server.doors import Doors, MethodDoor
from tradewind.rpc.status import status_from_error

__all__ = ["CallInterceptor"]

_LATENCY_BUCKETS_S = (
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0, 10.0
)  # fmt: skip
_UNKNOWN_METHOD = "unknown"


class CallInterceptor(grpc.ServerInterceptor):
    """Turns exceptions into statuses, counts calls and logs those that fail.

    A handler is wrapped once, at its first call; later calls cost one dictionary look-up. Only
    the handling is timed, not the time a call waited for a thread.

    Args:
        registry: Where the metrics are registered.
        scopes: What calls are wrapped in, so that what they log bears their ids.
        doors: What lets the calls of each method in.
        access: Who may call what; without, everybody may call everything.

    Attributes:
        starting: What is said to calls of methods that are not there yet; empty once all are.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        scopes: CallScopes,
        doors: Doors,
        access: AccessControl | None = None,
    ) -> None:
        self._scopes = scopes
        labels = ("method", "code")
        self._handled = Counter(
            "tradewind_rpc_handled", "Calls answered, by status code", labels, registry=registry
        )
        self._refused = Counter(
            "tradewind_rpc_refused",
            "Calls not let in to their handler, or that it refused as too many, by the reason",
            ("method", "reason"),
            registry=registry,
        )
        self._seconds = Histogram(
            "tradewind_rpc_handling_seconds",
            "Time in the handler; for a stream, from its start to its end",
            ("method",),
            registry=registry,
            buckets=_LATENCY_BUCKETS_S,
        )
        self._doors = doors
        self._access = access
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._not_yet = self._refusal()
        self.starting = ""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Gives the wrapped handler of a method, or None for an unknown method."""
        wrapped = self._wrapped.get(handler_call_details.method)
        if wrapped is None:
            handler = continuation(handler_call_details)
            if handler is None:
                return self._not_yet if self.starting else None
            wrapped = self._wrap(handler_call_details.method, handler)
            self._wrapped[handler_call_details.method] = wrapped
        return wrapped

    def _wrap(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        if self._access is not None:
            handler = self._access.guard_stream(method, handler)
        # Messages are read in the call's thread, where one that cannot be has its status, too.
        read = handler.request_deserializer
        read_each = handler.request_streaming
        wrapped = wrap_handler(
            handler,
            lambda call: self._guard_call(method, call, read, read_each=read_each),
            lambda stream: self._guard_stream(method, stream, read, read_each=read_each),
            reads=False,
        )
        door = self._doors.of(
            method,
            takes_stream=handler.request_streaming,
            is_stream=handler.request_streaming or handler.response_streaming,
            refuse=lambda error, context: self._refuse(method, error, context),
        )
        return _with_door(wrapped, door)

    def _guard_call(
        self, method: str, call: Handler, read: Callable[[bytes], Any] | None, *, read_each: bool
    ) -> Handler:
        succeeded = self._handled.labels(method, "OK").inc
        observe = self._scopes.observing(self._seconds.labels(method).observe)
        clock = time.perf_counter

        def guarded(request: Any, context: grpc.ServicerContext) -> Any:
            started = clock()
            try:
                response = call(request, context)
            except Exception as error:
                self._count_overload(method, error)
                self._fail(method, error, context)
            finally:
                observe(clock() - started)
            succeeded()
            return response

        scoped = self._scopes.call(method, guarded)
        if read is None:
            return scoped
        if read_each:
            return lambda data, context: scoped(_read_each(data, read), context)

        def reading(data: bytes, context: grpc.ServicerContext) -> Any:
            try:
                request = read(data)
            except Exception as error:
                self._fail(method, _unreadable(error), context)
            return scoped(request, context)

        return reading

    def _guard_stream(
        self, method: str, stream: Handler, read: Callable[[bytes], Any] | None, *, read_each: bool
    ) -> Handler:
        succeeded = self._handled.labels(method, "OK").inc
        observe = self._scopes.observing(self._seconds.labels(method).observe)
        clock = time.perf_counter

        def guarded(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            started = clock()
            try:
                yield from stream(request, context)
            except Exception as error:
                self._count_overload(method, error)
                self._fail(method, error, context)
            finally:
                observe(clock() - started)
            succeeded()

        scoped = self._scopes.stream(method, guarded)
        if read is None:
            return scoped
        if read_each:
            return lambda data, context: scoped(_read_each(data, read), context)

        def reading(data: bytes, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                request = read(data)
            except Exception as error:
                self._fail(method, _unreadable(error), context)
            yield from scoped(request, context)

        return reading

    def _refusal(self) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of every method while the service starts; nobody waits for its message."""

        def refuse(error: Exception, context: grpc.ServicerContext) -> NoReturn:
            self._refuse(_UNKNOWN_METHOD, error, context)

        def knock() -> NoReturn:
            raise UnavailableError(self.starting, reason="STARTING")

        def never(_request: Any, _context: grpc.ServicerContext) -> NoReturn:
            raise AssertionError

        door = MethodDoor(refuse=refuse, always=knock)
        return _with_door(grpc.unary_unary_rpc_method_handler(never), door)

    def _refuse(self, method: str, error: Exception, context: grpc.ServicerContext) -> NoReturn:
        """Answers a call whose handler was not asked."""
        reason = error.reason if isinstance(error, TradewindError) else "INTERNAL"
        self._refused.labels(method, reason).inc()
        self._scopes.enter(method, context)
        self._fail(method, error, context)

    def _count_overload(self, method: str, error: Exception) -> None:
        """Counts what a handler has no room for, as if it had not been asked."""
        if isinstance(error, OverloadedError):
            self._refused.labels(method, error.reason).inc()

    def _fail(self, method: str, error: Exception, context: grpc.ServicerContext) -> NoReturn:
        if not context.is_active():
            # The caller hung up: a broken request stream is how that shows, and nobody listens.
            self._handled.labels(method, "CANCELLED").inc()
            raise error
        status = status_from_error(error)
        name = code_pb2.Code.Name(status.code)
        self._handled.labels(method, name).inc()
        log_failure(method, status.code, error)
        context.abort_with_status(keep_trailers(rpc_status.to_status(status), context))


def _with_door(
    handler: grpc.RpcMethodHandler[Any, Any], door: Door
) -> grpc.RpcMethodHandler[Any, Any]:
    behavior: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    behavior.door = door
    return handler


def _read_each(messages: Iterator[bytes], read: Callable[[bytes], Any]) -> Iterator[Any]:
    for message in messages:
        try:
            request = read(message)
        except Exception as error:
            raise _unreadable(error) from error
        yield request


def _unreadable(error: Exception) -> Exception:
    if isinstance(error, DecodeError):
        return InvalidInputError("the message is not one that the method takes")
    return error
