"""Finds who answers a call, and books what became of it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_service.registry import LoadedVersion
from inference_service.routing.routes import Router, Variant
from inference_service.routing.shadow import ShadowCall, ShadowRunner
from inference_service.telemetry import Telemetry

__all__ = ["Dispatcher"]


class Dispatcher:
    """What every call that predicts goes through, whichever protocol it came by.

    Args:
        router: Chooses who answers.
        telemetry: Where failures are counted.
        shadows: Computes what is never given.

    Attributes:
        resolve: Router.resolve.
        describe: Router.describe.
    """

    def __init__(self, router: Router, telemetry: Telemetry, shadows: ShadowRunner) -> None:
        self.resolve = router.resolve
        self.describe = router.describe
        self._telemetry = telemetry
        self._shadows = shadows

    def failed(
        self, version: LoadedVersion | None, variant: Variant | None, error: Exception
    ) -> None:
        """Books a call that is answered with an error; None where it came not so far."""
        self._telemetry.prediction_failed(version, error)
        if variant is not None:
            variant.failed(error)

    def answered(
        self,
        variant: Variant,
        model_compute_ns: int,
        observations: NDArray[np.float32],
        actions: NDArray[Any],
        *,
        stochastic: bool,
        seed: int,
        request_id: str,
        routing_key: str,
    ) -> None:
        """Books an answer of a variant, and has its shadows compute theirs.

        Args:
            variant: Who answered.
            model_compute_ns: Time of the network.
            observations: Shape [N, *shape].
            actions: int64 [N], or float32 [N, *action shape].
            stochastic: The actions were sampled.
            seed: With this seed.
            request_id: That of the call.
            routing_key: Likewise.
        """
        variant.tally.answered(model_compute_ns)
        if variant.shadows:
            self._shadows.offer(
                ShadowCall(
                    variant, observations, actions, not stochastic, seed, request_id, routing_key
                )
            )
