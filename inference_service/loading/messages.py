"""What a server and its loading process say to each other. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path

from inference_service.loading.settings import LoaderSettings
from tradewind.bundle import Bundle, BundleLimits
from tradewind.errors import TradewindError
from tradewind.policy import LoweredNetwork

__all__ = ["LoadOutcome", "LoadRequest", "ProvedBundle"]


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A bundle to load.

    Attributes:
        folder: `<store>/<policy>/<version>`.
        limits: Largest files accepted.
        bounds: What loading may take.
    """

    folder: Path
    limits: BundleLimits
    bounds: LoaderSettings


@dataclass(frozen=True, eq=False)
class ProvedBundle:
    """A bundle that may serve.

    Attributes:
        bundle: The bundle, verified.
        lowered: Its network for the compiled runtime; None when TorchScript must execute it.
        runtime_reason: Why that is so; else empty.
    """

    bundle: Bundle
    lowered: LoweredNetwork | None
    runtime_reason: str


LoadOutcome = ProvedBundle | TradewindError
"""What comes back: the bundle, or what is to be raised in the server."""
