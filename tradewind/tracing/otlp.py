"""Spans of the OpenTelemetry SDK, sent by OTLP over gRPC.

The provider is this tracer's own: none is made global, so that libraries which trace themselves
(mlflow) stay apart.
"""

import contextlib
import logging
import os
import threading
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import grpc
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tradewind import __version__
from tradewind.address import is_loopback
from tradewind.errors import FieldViolation, SettingsError
from tradewind.files import read_file
from tradewind.tracing.settings import TracingSettings
from tradewind.tracing.tracer import Span, SpanKind

__all__ = ["OtlpSpan", "OtlpTracer"]

_CLOSE_S: Final = 2.0
_KINDS: Final = {
    "internal": trace.SpanKind.INTERNAL,
    "client": trace.SpanKind.CLIENT,
    "server": trace.SpanKind.SERVER,
}
_W3C: Final = TraceContextTextMapPropagator()
# It warns of every single span that a full queue drops, on the thread of the call.
_QUEUE_LOG: Final = "opentelemetry.sdk._shared_internal"


class OtlpSpan:
    """A span of the SDK.

    Args:
        span: The SDK's.
    """

    __slots__ = ("sdk_span",)

    def __init__(self, span: trace.Span) -> None:
        self.sdk_span = span

    @property
    def is_recorded(self) -> bool:
        """Whether anybody will see it."""
        return self.sdk_span.is_recording()

    @property
    def headers(self) -> Mapping[str, str]:
        """Those of W3C Trace Context."""
        headers: dict[str, str] = {}
        _W3C.inject(headers, trace.set_span_in_context(self.sdk_span))
        return headers

    def set_attributes(self, attributes: Mapping[str, str | int]) -> None:
        """Says more about it; empty texts are left out."""
        if self.is_recorded:
            kept = {name: value for name, value in attributes.items() if value != ""}
            self.sdk_span.set_attributes(kept)

    def end(self, *, error: str = "") -> None:
        """Ends it."""
        if error:
            self.sdk_span.set_attribute("error.type", error)
            self.sdk_span.set_status(trace.StatusCode.ERROR)
        self.sdk_span.end()


class OtlpTracer:
    """Makes spans and sends them to a collector; see `Tracer`.

    Args:
        settings: Where to, and how many.
        service: Which program it is.

    Raises:
        SettingsError: The certificates cannot be read.
    """

    def __init__(self, settings: TracingSettings, service: str) -> None:
        resource: dict[str, str | int] = {
            "service.name": service,
            "service.namespace": "tradewind",
            "service.version": __version__,
            "service.instance.id": str(uuid.uuid4()),
            "process.pid": os.getpid(),
        }
        self._exporter = OTLPSpanExporter(
            endpoint=settings.endpoint,
            credentials=_credentials(settings),
            channel_options=_channel_options(settings),
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sampled_fraction)),
            resource=Resource.create({**resource}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("tradewind", __version__)
        logging.getLogger(_QUEUE_LOG).setLevel(logging.ERROR)

    def start(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        headers: Mapping[str, str] | None = None,
    ) -> OtlpSpan:
        """Starts a span that belongs to the one around it, or to that of the headers."""
        around = None if headers is None else _W3C.extract(headers)
        span = self._tracer.start_span(name, around, _KINDS[kind], dict(attributes))
        return OtlpSpan(span)

    def enter(self, span: Span) -> None:
        """Makes a span the one around everything from here on, in this context."""
        assert isinstance(span, OtlpSpan)
        context.attach(trace.set_span_in_context(span.sdk_span))

    @contextlib.contextmanager
    def span(
        self, name: str, attributes: Mapping[str, str | int], traceparent: str = ""
    ) -> Iterator[Span]:
        """A span around a block; an exception that leaves the block is its error."""
        headers = {"traceparent": traceparent} if traceparent else None
        span = self.start(name, "internal", attributes, headers)
        token = context.attach(trace.set_span_in_context(span.sdk_span))
        error = ""
        try:
            yield span
        except BaseException as problem:
            error = type(problem).__name__
            raise
        finally:
            context.detach(token)
            span.end(error=error)

    def traceparent(self) -> str:
        """The span around this, as W3C Trace Context writes it; empty for none."""
        return OtlpSpan(trace.get_current_span()).headers.get("traceparent", "")

    def kept_ids(self) -> tuple[str, str] | None:
        """Trace and span around this, in hexadecimal; None for none, or one that is not kept."""
        around = trace.get_current_span().get_span_context()
        if not around.trace_flags.sampled:
            return None
        return f"{around.trace_id:032x}", f"{around.span_id:016x}"

    def close(self) -> None:
        """Sends what is left; a collector that does not take it within 2 s is given up."""
        # The SDK itself would wait for 30 s, and take no other number.
        give_up = threading.Timer(_CLOSE_S, self._exporter.shutdown)
        give_up.daemon = True
        give_up.start()
        try:
            self._provider.shutdown()
        finally:
            give_up.cancel()


def _channel_options(settings: TracingSettings) -> Any:  # its stubs know texts only
    """A proxy that the environment names is no way to this machine itself."""
    if not is_loopback(urllib.parse.urlsplit(settings.endpoint).hostname or ""):
        return None
    return (("grpc.enable_http_proxy", 0),)


def _credentials(settings: TracingSettings) -> grpc.ChannelCredentials | None:
    if settings.ca is None:
        return None
    try:
        return grpc.ssl_channel_credentials(read_file(settings.ca))
    except OSError as problem:
        violation = FieldViolation("tracing.ca", f"cannot be read: {problem}")
        raise SettingsError("tracing settings are refused", [violation]) from None
