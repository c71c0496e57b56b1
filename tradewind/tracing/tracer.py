"""What traces are made with; everything of OpenTelemetry is behind it."""

import contextlib
from collections.abc import Mapping
from typing import Literal, Protocol

__all__ = ["Span", "SpanKind", "Tracer", "in_span"]

SpanKind = Literal["internal", "client", "server"]


class Span(Protocol):
    """One piece of work in a trace, from its start until `end`."""

    @property
    def is_recorded(self) -> bool:
        """Whether anybody will see it: of traces, only some are kept."""

    @property
    def headers(self) -> Mapping[str, str]:
        """`traceparent` and, if there is one, `tracestate`, as W3C Trace Context names them."""

    def set_attributes(self, attributes: Mapping[str, str | int]) -> None:
        """Says more about it; empty texts are left out."""

    def end(self, *, error: str = "") -> None:
        """Ends it.

        Args:
            error: What went wrong, of few different values; empty for nothing.
        """


class Tracer(Protocol):
    """Makes spans, and sends those that have ended to the collector in the background.

    A collector that is slow or gone costs spans, never the time of who makes them.
    """

    def start(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        headers: Mapping[str, str] | None = None,
    ) -> Span:
        """Starts a span that belongs to the one around it.

        Args:
            name: What is done, of few different values.
            kind: Which side of a call, or neither.
            attributes: What is known of it.
            headers: Those of the span it belongs to, when that is elsewhere; headers that are none
                begin a new trace.
        """

    def enter(self, span: Span) -> None:
        """Makes a span the one around everything from here on, in this context.

        There is no way back: it is for code that has a context of its own, as every call of a gRPC
        server has.
        """

    def span(
        self, name: str, attributes: Mapping[str, str | int], traceparent: str = ""
    ) -> contextlib.AbstractContextManager[Span]:
        """A span around a block; an exception that leaves the block is its error.

        Args:
            name: What is done, of few different values.
            attributes: What is known of it.
            traceparent: The span it belongs to, when that is elsewhere.
        """

    def traceparent(self) -> str:
        """The span around this, as W3C Trace Context writes it; empty for none."""

    def kept_ids(self) -> tuple[str, str] | None:
        """Trace and span around this, in hexadecimal; None for none, or one that is not kept."""

    def close(self) -> None:
        """Sends what is left, for a short while at most."""


def in_span(
    tracer: Tracer | None, name: str, attributes: Mapping[str, str | int], traceparent: str = ""
) -> contextlib.AbstractContextManager[object]:
    """As `Tracer.span`; nothing without a tracer."""
    if tracer is None:
        return contextlib.nullcontext()
    return tracer.span(name, attributes, traceparent)
