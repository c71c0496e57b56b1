"""What is known of a call while it is answered: for every line that is logged.

Nothing is looked up for a line that nobody writes: a call that succeeds costs the setting of one
variable, and a look at its metadata for an id to give back.
"""

from __future__ import annotations  # grpcio's own classes are generic in their stubs only

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import grpc
from google.rpc import code_pb2

from tradewind.logs import CallLogSettings, enter_scope, loggable_id
from tradewind.rpc.call_spans import ServerSpans
from tradewind.rpc.handlers import Handler
from tradewind.rpc.request_ids import REQUEST_ID_KEY, given_request_id
from tradewind.tracing import Tracer

__all__ = ["CallScopes", "log_failure"]

_LOG = logging.getLogger("tradewind.rpc.calls")
_OWN_DEFECTS: Final = (code_pb2.INTERNAL, code_pb2.UNKNOWN, code_pb2.DATA_LOSS)
_TROUBLE: Final = (code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED)
# What a field of a line is called in requests; the second name is that of Open Inference.
_NAMES: Final = {
    "request_id": ("request_id", "id"),
    "policy": ("policy", "model_name"),
    "account": ("account",),
    "job": ("job_id",),
}


class CallScopes:
    """Gives every call a scope for what is logged in it, and logs calls that take long.

    Args:
        settings: What is logged.
        tracer: Gives every call a span; None for none.
    """

    def __init__(self, settings: CallLogSettings, tracer: Tracer | None = None) -> None:
        self._tracer = tracer
        self._spans = None if tracer is None else ServerSpans(tracer)
        slow_ms = settings.slow_call_ms
        self._slow_s = float("inf") if slow_ms is None else slow_ms / 1e3
        self._logs_all = settings.calls == "all"

    def call(self, method: str, call: Handler) -> Handler:
        """Wraps the handler of a method with one request and one answer."""
        slow_s, logged_s = self._slow_s, self._logged_s(method)
        clock = time.perf_counter

        def scoped(request: Any, context: grpc.ServicerContext) -> Any:
            scope = _CallScope(method, request, context)
            enter_scope(scope)  # grpcio runs each call in a context of its own
            _give_back(context)
            response = call(request, context)
            elapsed_s = clock() - scope.started
            if elapsed_s > logged_s:
                _log_success(method, slow=elapsed_s > slow_s)
            return response

        spans = self._spans
        return scoped if spans is None or _is_probe(method) else spans.call(method, scoped)

    def stream(self, method: str, stream: Handler) -> Handler:
        """Wraps the handler of a method with a stream of answers; a stream is never slow."""
        logs = self._logged_s(method) < 0.0

        def scoped(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            if hasattr(request, "__next__"):
                request = _Remembered(request)
            enter_scope(_CallScope(method, request, context))
            _give_back(context)
            yield from stream(request, context)
            if logs:
                _log_success(method, slow=False)

        spans = self._spans
        return scoped if spans is None or _is_probe(method) else spans.stream(method, scoped)

    def observing(self, observe: Callable[..., None]) -> Callable[[float], None]:
        """What observes how long calls take: with the trace of one that is kept as its exemplar."""
        if self._tracer is None:
            return observe
        kept_ids = self._tracer.kept_ids

        def observed(seconds: float) -> None:
            kept = kept_ids()
            observe(seconds, kept and {"trace_id": kept[0], "span_id": kept[1]})

        return observed

    def enter(self, method: str, context: grpc.ServicerContext) -> None:
        """Opens the scope of a call that is refused before its message is read."""
        enter_scope(_CallScope(method, None, context))
        _give_back(context)

    def _logged_s(self, method: str) -> float:
        """From how many seconds on a call of a method is logged though it succeeded."""
        return -1.0 if self._logs_all and not _is_probe(method) else self._slow_s


class _CallScope:
    """One call; what it says of it, it looks up when a line is written."""

    __slots__ = ("_context", "_method", "_request", "started")

    def __init__(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        self._method = method
        self._request = request
        self._context = context
        self.started = time.perf_counter()

    def fields(self) -> Mapping[str, Any]:
        message = _message(self._request)
        found: dict[str, Any] = {"request_id": "", "method": self._method}
        for field, names in _NAMES.items():
            found[field] = next(filter(None, (getattr(message, name, "") for name in names)), "")
        given = loggable_id(found["request_id"]) or given_request_id(self._context)
        elapsed_ms = (time.perf_counter() - self.started) * 1e3
        return {**found, "request_id": given, "duration_ms": round(elapsed_ms, 3)}


class _Remembered:
    """The requests of a stream; the last one is what a line that is written now is about."""

    __slots__ = ("_next", "last")

    def __init__(self, requests: Iterator[Any]) -> None:
        self._next = requests.__next__
        self.last: Any = None

    def __iter__(self) -> _Remembered:
        return self

    def __next__(self) -> Any:
        self.last = request = self._next()
        return request


def _is_probe(method: str) -> bool:
    """Whether it is gRPC's own: probes ask for health every few seconds."""
    return method.startswith("/grpc.")


def _message(request: Any) -> Any:
    """The message with the names, wherever a request has it."""
    if isinstance(request, _Remembered):
        request = request.last
    message = getattr(request, "message", request)  # a RiskRequest
    return getattr(message, "predict", message)  # a message of PredictStream


def _give_back(context: grpc.ServicerContext) -> None:
    request_id = given_request_id(context)
    if request_id:
        context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))


def _log_success(method: str, *, slow: bool) -> None:
    what = "took long" if slow else "answered"
    extra: dict[str, Any] = {"fields": {"code": "OK"}}
    if slow:
        extra["flood_key"] = (method, "slow")
    _LOG.log(logging.WARNING if slow else logging.INFO, "%s", what, extra=extra)


def log_failure(method: str, code: code_pb2.Code, error: Exception) -> None:
    """Logs a call that is answered with an error; a defect with its traceback.

    Args:
        method: The method, as gRPC names it.
        code: The status that the caller gets.
        error: What the handler raised.
    """
    name = code_pb2.Code.Name(code)
    extra = {"fields": {"code": name}, "flood_key": (method, name)}
    if code in _OWN_DEFECTS:
        kind = type(error).__name__
        _LOG.error("failed by %s: %s", kind, error, exc_info=error, extra=extra)
    else:
        level = logging.WARNING if code in _TROUBLE else logging.INFO
        _LOG.log(level, "refused: %s", error, extra=extra)
