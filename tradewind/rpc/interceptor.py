"""What every call passes through: error mapping and call metrics, for any servicer."""

from __future__ import annotations  # grpcio's own classes are generic in their stubs only

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from google.rpc import code_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry, Counter, Histogram

from tradewind.rpc.access import AccessControl
from tradewind.rpc.call_scope import CallScopes, log_failure
from tradewind.rpc.handlers import Handler, wrap_handler
from tradewind.rpc.request_ids import keep_trailers
from tradewind.rpc.status import status_from_error

__all__ = ["CallInterceptor"]

_LATENCY_BUCKETS_S = (
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0, 10.0
)  # fmt: skip


class CallInterceptor(grpc.ServerInterceptor):
    """Turns exceptions into statuses, counts calls and logs those that fail.

    A handler is wrapped once, at its first call; later calls cost one dictionary look-up. Only
    the handling is timed, not the time a call waited for a thread.

    Args:
        registry: Where the metrics are registered.
        scopes: What calls are wrapped in, so that what they log bears their ids.
        access: Who may call what; without, everybody may call everything.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        scopes: CallScopes,
        access: AccessControl | None = None,
    ) -> None:
        self._scopes = scopes
        labels = ("method", "code")
        self._handled = Counter(
            "tradewind_rpc_handled", "Calls answered, by status code", labels, registry=registry
        )
        self._seconds = Histogram(
            "tradewind_rpc_handling_seconds",
            "Time in the handler; for a stream, from its start to its end",
            ("method",),
            registry=registry,
            buckets=_LATENCY_BUCKETS_S,
        )
        self._access = access
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def run_in(self, pool: ThreadPoolExecutor, method: str) -> None:
        """Has a method with one request and one answer run in threads of its own."""
        self._pools[method] = pool

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
                return None
            wrapped = self._wrap(handler_call_details.method, handler)
            self._wrapped[handler_call_details.method] = wrapped
        return wrapped

    def _wrap(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        if self._access is not None:
            handler = self._access.guard(method, handler)
        wrapped = wrap_handler(
            handler,
            lambda call: self._guard_call(method, call),
            lambda stream: self._guard_stream(method, stream),
        )
        if method in self._pools:
            behavior: Any = wrapped.unary_unary
            behavior.experimental_thread_pool = self._pools[method]  # grpcio's name for it
        return wrapped

    def _guard_call(self, method: str, call: Handler) -> Handler:
        succeeded = self._handled.labels(method, "OK").inc
        observe = self._seconds.labels(method).observe
        clock = time.perf_counter

        def guarded(request: Any, context: grpc.ServicerContext) -> Any:
            started = clock()
            try:
                response = call(request, context)
            except Exception as error:
                self._fail(method, error, context)
            finally:
                observe(clock() - started)
            succeeded()
            return response

        return self._scopes.call(method, guarded)

    def _guard_stream(self, method: str, stream: Handler) -> Handler:
        succeeded = self._handled.labels(method, "OK").inc
        observe = self._seconds.labels(method).observe
        clock = time.perf_counter

        def guarded(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            started = clock()
            try:
                yield from stream(request, context)
            except Exception as error:
                self._fail(method, error, context)
            finally:
                observe(clock() - started)
            succeeded()

        return self._scopes.stream(method, guarded)

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
