"""What a server and its loading process say to each other. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inference_service.loading.settings import LoaderSettings
from tradewind.bundle import Bundle, BundleLimits, TrustedKeys
from tradewind.errors import TradewindError
from tradewind.policy import LoweredNetwork

__all__ = [
    "ExecuteAnswer",
    "ExecuteCall",
    "ExecuteRequest",
    "ExecutorReady",
    "LoadOutcome",
    "LoadRequest",
    "Method",
    "ProvedBundle",
]


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A bundle to load.

    Attributes:
        folder: `<store>/<policy>/<version>`.
        limits: Largest files accepted.
        trusted: Whose signatures are believed; None when none is looked at.
        bounds: What loading may take.
    """

    folder: Path
    limits: BundleLimits
    trusted: TrustedKeys | None
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

Method = Literal["act", "distribution"]
"""What a network is asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class ExecuteRequest:
    """A network to execute in a process of its own until the connection ends.

    Attributes:
        policy_pt: The network, out of a bundle that is proved.
        observations: To warm it up with.
    """

    policy_pt: bytes
    observations: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ExecutorReady:
    """That process answers from now on."""

    pid: int


@dataclass(frozen=True, slots=True, eq=False)
class ExecuteCall:
    """One call of the network."""

    method: Method
    observations: NDArray[np.float32]


ExecuteAnswer = ExecutorReady | tuple[NDArray[Any], int] | TradewindError
"""What comes back; to a call the array and the nanoseconds, or what the server is to raise."""
