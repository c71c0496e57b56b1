"""Spans of calls, on both sides, by OpenTelemetry's semantic conventions for RPC.

Names and attributes: https://opentelemetry.io/docs/specs/semconv/rpc/grpc/. A trace crosses from
one side to the other in the call's metadata, as W3C Trace Context.
"""

from __future__ import annotations  # grpcio's own classes are generic in their stubs only

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import grpc

from tradewind.address import UNIX, host_and_port
from tradewind.errors import TradewindError
from tradewind.logs import current_fields
from tradewind.rpc.handlers import Handler
from tradewind.rpc.request_ids import REQUEST_ID_KEY, Metadata
from tradewind.rpc.status import code_of
from tradewind.tracing import Span, Tracer

__all__ = ["NO_CALL_SPAN", "ClientCallSpan", "ClientSpans", "ServerSpans"]

_SYSTEM: Final = {"rpc.system.name": "grpc"}
_HEADERS: Final = ("traceparent", "tracestate")
# What is the caller's own mistake is no error of a server.
_SERVER_ERRORS: Final = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
_FIELDS: Final = ("request_id", "policy", "account", "job")


class ServerSpans:
    """Gives every call that a server answers a span.

    Args:
        tracer: Makes the spans.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def call(self, method: str, call: Handler) -> Handler:
        """Wraps the handler of a method with one answer."""

        def traced(request: Any, context: grpc.ServicerContext) -> Any:
            span = self._start(method, context)
            raised = True
            try:
                response = call(request, context)
                raised = False
            finally:
                _end(span, context, raised=raised)
            return response

        return traced

    def stream(self, method: str, stream: Handler) -> Handler:
        """Wraps the handler of a method with a stream of answers: one span for all of them."""

        def traced(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            span = self._start(method, context)
            raised = True
            try:
                yield from stream(request, context)
                raised = False
            finally:
                _end(span, context, raised=raised)

        return traced

    def _start(self, method: str, context: grpc.ServicerContext) -> Span:
        name = method.removeprefix("/")
        headers = {
            key: value
            for key, value in context.invocation_metadata()
            if key in _HEADERS and isinstance(value, str)
        }
        attributes = {**_SYSTEM, "rpc.method": name}
        span = self._tracer.start(name, "server", attributes, headers)
        self._tracer.enter(span)
        return span


class ClientCallSpan:
    """The span of one call that a client makes.

    Args:
        span: The span; None for none.
    """

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def metadata(self, own: Metadata) -> Metadata:
        """The metadata of the call, with the span for the server to go on from."""
        if self._span is None:
            return own
        request_id = next((value for key, value in own or () if key == REQUEST_ID_KEY), "")
        self._span.set_attributes({"tradewind.request_id": request_id})
        return (*self._span.headers.items(), *(own or ()))

    def end(self, code: str) -> None:
        """The call has ended in a status."""
        if self._span is not None:
            self._span.set_attributes({"rpc.response.status_code": code})
            self._span.end(error="" if code == "OK" else code)


NO_CALL_SPAN: Final = ClientCallSpan(None)
"""That of a call that is not traced."""


class ClientSpans:
    """Gives every call that a client makes a span.

    Args:
        tracer: Makes the spans; None for none.
        service: Name of the service in the proto.
        target: Where it is called.
    """

    def __init__(self, tracer: Tracer | None, service: str, target: str) -> None:
        self._tracer = tracer
        self._service = service
        self._attributes = {**_SYSTEM, **_address(target)}

    def start(self, method: str) -> ClientCallSpan:
        """Starts the span of a call, to be ended."""
        if self._tracer is None:
            return NO_CALL_SPAN
        name = f"{self._service}/{method}"
        attributes = {**self._attributes, "rpc.method": name}
        return ClientCallSpan(self._tracer.start(name, "client", attributes))

    def call(self, method: str, metadata: Metadata) -> contextlib.AbstractContextManager[Metadata]:
        """A span around a call; gives the metadata to make it with.

        A TradewindError that leaves the block says in which status the call ended.
        """
        if self._tracer is None:
            return contextlib.nullcontext(metadata)
        return self._traced(method, metadata)

    @contextlib.contextmanager
    def _traced(self, method: str, metadata: Metadata) -> Iterator[Metadata]:
        span, code = self.start(method), "CANCELLED"
        try:
            yield span.metadata(metadata)
            code = "OK"
        except TradewindError as problem:
            code = code_of(problem)
            raise
        finally:
            span.end(code)


def _end(span: Span, context: grpc.ServicerContext, *, raised: bool) -> None:
    if not span.is_recorded:
        span.end()
        return
    code = "OK"
    if raised:
        # A handler that raised has set the status; or there is nobody left to give one to.
        given = context.code()  # type: ignore[attr-defined]  # not in its stubs
        status = given if context.is_active() else grpc.StatusCode.CANCELLED
        code = "UNKNOWN" if status is None else status.name
    fields = current_fields()
    span.set_attributes(
        {
            "rpc.response.status_code": code,
            **{f"tradewind.{field}": fields.get(field, "") for field in _FIELDS},
        }
    )
    span.end(error=code if code in _SERVER_ERRORS else "")


def _address(target: str) -> dict[str, str | int]:
    """Where a target is; one that stands for several servers is named whole."""
    if not target.startswith(UNIX) and "," not in target:
        with contextlib.suppress(ValueError):
            host, port = host_and_port(target)
            return {"server.address": host, "server.port": port}
    return {"server.address": target}
