"""Opens a tracer; OpenTelemetry is imported by then, not before."""

import contextlib
from collections.abc import Iterator

from tradewind.tracing.settings import TracingSettings
from tradewind.tracing.tracer import Tracer

__all__ = ["open_tracer", "tracing"]


def open_tracer(settings: TracingSettings | None, service: str) -> Tracer | None:
    """A tracer, to be closed; None when nothing is traced.

    Args:
        settings: What the operator set; None for no traces.
        service: Which program it is.

    Raises:
        SettingsError: The certificates cannot be read.
    """
    if settings is None:
        return None
    from tradewind.tracing.otlp import OtlpTracer

    return OtlpTracer(settings, service)


@contextlib.contextmanager
def tracing(settings: TracingSettings | None, service: str) -> Iterator[Tracer | None]:
    """As `open_tracer`, for the time of a block."""
    tracer = open_tracer(settings, service)
    try:
        yield tracer
    finally:
        if tracer is not None:
            tracer.close()
