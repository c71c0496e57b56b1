"""What every policy can do, whatever executes its network."""

from typing import Any, NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.bundle import BundleMetadata

__all__ = ["Network", "PolicyAction", "PredictionInfo", "RLPolicy"]

PolicyAction = int | NDArray[np.float32]
"""An integer, or float32 numbers of the action space's shape."""


class PredictionInfo(TypedDict):
    """What a prediction says beside the action.

    Attributes:
        model_compute_ns: Time of the network alone.
        version: Version of the bundle.
        bundle_sha256: SHA-256 of its policy.pt.
        seed: Of a stochastic action.
        distribution: What the action was taken from, when asked for.
    """

    model_compute_ns: int
    version: str
    bundle_sha256: str
    seed: NotRequired[int]
    distribution: NotRequired[NDArray[np.float32]]


class Network(Protocol):
    """What executes the network of a bundle; calls from several threads are fine."""

    @property
    def runtime(self) -> str:
        """Its name in reports."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Of its weights and other constants."""
        ...

    def act(self, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        """The actions in the mode of the distribution.

        Args:
            observations: [N, *shape], writable, finite.

        Returns:
            int64 [N] or float32 [N, *action shape], and the nanoseconds of the network alone. A
            discrete action is UNDECIDED where the number that it would be chosen for is not finite.

        Raises:
            BundleRuntimeError: The network failed.
        """
        ...

    def distribution(self, observations: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """The parameters of the distribution, and the nanoseconds of the network alone.

        Args:
            observations: [N, *shape], writable, finite.

        Raises:
            BundleRuntimeError: The network failed.
        """
        ...

    def warm_up(self, observations: NDArray[np.float32]) -> None:
        """Runs both methods until the first, slow calls are over.

        Args:
            observations: [N, *shape].
        """
        ...


class RLPolicy(Protocol):
    """A policy that is ready to act; calls from several threads are fine."""

    @property
    def metadata(self) -> BundleMetadata:
        """What the bundle says about itself."""
        ...

    def predict(
        self,
        observation: ArrayLike,
        *,
        deterministic: bool = True,
        seed: int | None = None,
        with_distribution: bool = False,
    ) -> tuple[PolicyAction, PredictionInfo]:
        """The action for one observation.

        Args:
            observation: Finite numbers of the observation space's shape.
            deterministic: Take the mode instead of sampling.
            seed: For sampling: the same seed and observation give the same action; None draws a
                seed, which the info then tells.
            with_distribution: Put the distribution's parameters into the info.

        Raises:
            ObservationError: The observation does not fit.
            InvalidInputError: The seed is outside 0 to 2^64 − 1.
            BundleRuntimeError: The network failed or gave what is no action.
        """
        ...

    def predict_batch(
        self,
        observations: ArrayLike,
        *,
        deterministic: bool = True,
        seed: int | None = None,
        with_distribution: bool = False,
    ) -> tuple[NDArray[Any], PredictionInfo]:
        """The actions for N observations, in one pass through the network.

        Args:
            observations: [N, *observation shape].
            deterministic: Take the mode instead of sampling.
            seed: For sampling; row i uses a seed derived from this one and i.
            with_distribution: Put the distribution's parameters into the info.

        Returns:
            int64 [N] or float32 [N, *action shape], and one info for the whole batch.

        Raises:
            ObservationError: The observations do not fit.
            InvalidInputError: The seed is outside 0 to 2^64 − 1.
            BundleRuntimeError: The network failed or gave what is no action.
        """
        ...

    def warm_up(self) -> None:
        """Runs the network until its first, slow calls are over."""
        ...
