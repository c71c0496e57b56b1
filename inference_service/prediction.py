"""The one path of every call that predicts, whichever protocol it came by."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from inference_service.awaited import note_call
from inference_service.registry import LoadedVersion
from inference_service.routing.routes import Router, Variant
from inference_service.routing.shadow import ShadowCall, ShadowRunner
from inference_service.telemetry import Telemetry
from tradewind.bundle import BoxSpace
from tradewind.errors import InvalidInputError
from tradewind.policy import PredictionInfo

__all__ = ["CallCodec", "Predictor"]

Request = TypeVar("Request", contravariant=True)
Answer = TypeVar("Answer", covariant=True)


class CallCodec(Protocol[Request, Answer]):
    """Between the messages of a call that predicts and what is asked and answered.

    Attributes:
        is_single: One observation and one action, with no dimension for their number.
    """

    is_single: bool

    def target(self, request: Request, /) -> tuple[str, str, str, str]:
        """Who is asked: policy, version, label and routing key, each empty where not given.

        Raises:
            InvalidInputError: The request does not say it as it must.
        """
        ...

    def read(
        self, request: Request, space: BoxSpace, /
    ) -> tuple[NDArray[np.float32], bool, int, bool]:
        """What is asked.

        Returns:
            The observations, whether to sample, the seed of that, and whether what the actions are
            taken from is asked for, too.

        Raises:
            InvalidInputError: The observations do not fit the space, or the request asks for what
                there is not.
        """
        ...

    def write(
        self,
        request: Request,
        version: LoadedVersion,
        variant: str,
        actions: Any,
        info: PredictionInfo,
        /,
    ) -> Answer:
        """The answer of a version, and of the variant that it is; empty for none."""
        ...

    def located(
        self, request: Request, error: InvalidInputError, space: BoxSpace | None, /
    ) -> InvalidInputError:
        """What was refused, where it stands in the request; no space where none was found."""
        ...

    def request_id(self, request: Request, /) -> str:
        """The caller's own name for the call."""
        ...


class Predictor:
    """Finds who answers a call, has it answered, and books what became of it, once.

    Args:
        router: Chooses who answers.
        telemetry: Where failures are counted.
        shadows: Computes what is never given.

    Attributes:
        describe: Router.describe.
    """

    def __init__(self, router: Router, telemetry: Telemetry, shadows: ShadowRunner) -> None:
        self._resolve = router.resolve
        self.describe = router.describe
        self._telemetry = telemetry
        self._shadows = shadows

    def predict(
        self, codec: CallCodec[Request, Answer], request: Request, is_active: Callable[[], bool]
    ) -> Answer:
        """The answer to a call.

        Args:
            codec: Reads the request and writes the answer.
            request: What is asked.
            is_active: Whether its caller still waits.

        Raises:
            TradewindError: Whatever it failed of, from who should answer to how that is written.
        """
        note_call(is_active)
        version: LoadedVersion | None = None
        variant: Variant | None = None
        try:
            name, number, label, key = codec.target(request)
            version, variant = self._resolve(name, number, label, key)
            observations, stochastic, seed, explained = codec.read(request, version.obs_space)
            predict: Any = (
                version.policy.predict if codec.is_single else version.policy.predict_batch
            )
            actions, info = predict(
                observations,
                deterministic=not stochastic,
                seed=seed,
                with_distribution=explained,
            )
            given_by = "" if variant is None else variant.name
            answer = codec.write(request, version, given_by, actions, info)
        except Exception as error:
            self._telemetry.prediction_failed(version, error)
            if variant is not None:
                variant.failed(error)
            if isinstance(error, InvalidInputError):
                space = None if version is None else version.obs_space
                raise codec.located(request, error, space) from None
            raise
        elapsed = info["model_compute_ns"]
        if codec.is_single:
            version.latencies.record(elapsed)
        else:
            version.count_batch(elapsed, len(observations))
        if variant is not None:
            variant.tally.answered(elapsed)
            if variant.shadows:
                if codec.is_single:
                    observations, actions = observations[np.newaxis], np.array([actions])
                self._shadows.offer(
                    ShadowCall(
                        variant,
                        observations,
                        actions,
                        not stochastic,
                        seed,
                        codec.request_id(request),
                        key,
                    )
                )
        return answer
