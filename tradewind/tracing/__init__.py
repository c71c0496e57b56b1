"""OpenTelemetry traces: off unless settings say where the collector is.

Nothing of OpenTelemetry is imported before a tracer is opened.
"""

from tradewind.tracing.opening import open_tracer, tracing
from tradewind.tracing.settings import TracingSettings
from tradewind.tracing.tracer import Span, SpanKind, Tracer, in_span

__all__ = ["Span", "SpanKind", "Tracer", "TracingSettings", "in_span", "open_tracer", "tracing"]
