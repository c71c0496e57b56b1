"""What an operator can set about traces."""

import importlib.util
from pathlib import Path
from typing import Final, Self

from pydantic import Field, model_validator

from tradewind.settings import Settings

__all__ = ["TracingSettings"]

_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.grpc"


class TracingSettings(Settings):
    """Where spans go, by OTLP over gRPC.

    What else OpenTelemetry lets an operator set, such as headers with a token and the size of its
    queue, comes from the environment: `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_MAX_QUEUE_SIZE`, ….
    """

    endpoint: str = Field(default="http://127.0.0.1:4317", pattern=r"^https?://[^/]+:\d+$")
    """The collector, `http://HOST:PORT` in plain text or `https://HOST:PORT`."""

    ca: Path | None = None
    """File with the certificates that the collector's is checked against; by default those that
    gRPC knows. Needs https."""

    sampled_fraction: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of the traces that begin here and are kept. A call that belongs to a trace already is
    kept when its caller's span is."""

    @model_validator(mode="after")
    def _check_ca(self) -> Self:
        if self.ca is not None and not self.endpoint.startswith("https:"):
            raise ValueError(f"ca: {self.endpoint} shows no certificate; say https")
        return self

    @model_validator(mode="after")
    def _check_extra(self) -> Self:
        try:
            found = importlib.util.find_spec(_EXPORTER) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            raise ValueError(f"traces need {_EXPORTER}: pip install 'tradewind[tracing]'")
        return self
