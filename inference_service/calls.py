"""The calls of InferenceService that predict: between their messages and numpy.

Nothing is copied where the wire allows.
"""

import math
import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference_service.prediction import CallCodec
from inference_service.registry import LoadedVersion
from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BoxSpace
from tradewind.errors import FieldViolation, InvalidInputError, ObservationError
from tradewind.policy import PolicyAction, PredictionInfo

__all__ = ["BATCH", "SINGLE", "place_of"]

_FLOAT32_LE: Final = np.dtype("<f4")
_INDEX: Final = re.compile(r"\[(\d+)\]")

Request = inference_pb2.PredictRequest | inference_pb2.PredictBatchRequest
Answer = inference_pb2.PredictResponse | inference_pb2.PredictBatchResponse


class _Codec:
    """What all of them have in common; see CallCodec."""

    def __init__(self, answer: type[Answer], *, is_single: bool) -> None:
        self._answer: Any = answer
        self.is_single = is_single

    def request_id(self, request: Request) -> str:
        """The caller's own name for the call."""
        return request.request_id

    def target(self, request: Request) -> tuple[str, str, str, str]:
        """Policy, version, label and routing key."""
        return request.policy, request.version, request.label, request.routing_key

    def read(
        self, request: Request, space: BoxSpace
    ) -> tuple[NDArray[np.float32], bool, int, bool]:
        """The observation, in the shape of the space, or [N, *shape] of them; how to act on them.

        Raises:
            ObservationError: They are absent, or there is another number of values.
        """
        shape = space.shape if self.is_single else _shape_of_batch(request, space)
        size = math.prod(shape)
        raw = request.values_f32_le
        if len(raw) == 4 * size:
            values = np.frombuffer(raw, _FLOAT32_LE)
        elif raw:
            raise _refusal("values_f32_le", f"{len(raw)} bytes instead of {4 * size}, {shape}")
        else:
            values = _numbers(request, size, shape)
        return values.reshape(shape), request.stochastic, request.seed, False

    def write(
        self,
        request: Request,
        version: LoadedVersion,
        variant: str,
        actions: PolicyAction | NDArray[Any],
        info: PredictionInfo,
    ) -> Any:
        """The answer."""
        elapsed = info["model_compute_ns"]
        answer = self._answer(
            policy=version.name,
            version=version.version,
            bundle_sha256=version.sha256,
            model_compute_ns=elapsed,
            slo_met=elapsed <= version.latencies.slo_ns,
            request_id=request.request_id,
        )
        if variant:
            answer.variant = variant
        if isinstance(actions, int):
            answer.discrete = actions
        elif actions.dtype == np.int64:
            answer.discrete.extend(actions.tolist())
        else:
            answer.continuous.values.extend(actions.ravel().tolist())
        return answer

    def located(
        self, request: Request, error: InvalidInputError, space: BoxSpace | None
    ) -> InvalidInputError:
        """What the policy has refused, where it stands in the request.

        A policy names an element by its indices, `observation[4]`; the request has a flat list of
        numbers, or their bytes.
        """
        if space is None or not isinstance(error, ObservationError):
            return error
        violations = []
        for violation in error.violations:
            field, description = violation.field, violation.description
            at = place_of(field, space)
            if at is not None:
                if request.values_f32_le:
                    field, description = "values_f32_le", f"number {at}: {description}"
                else:
                    field = f"values.values[{at}]"
            violations.append(FieldViolation(field, description))
        return ObservationError("observation is refused", violations, metadata=error.metadata)


SINGLE: Final[CallCodec[inference_pb2.PredictRequest, inference_pb2.PredictResponse]] = _Codec(
    inference_pb2.PredictResponse, is_single=True
)
"""Predict: one observation, one action."""

BATCH: Final[CallCodec[inference_pb2.PredictBatchRequest, inference_pb2.PredictBatchResponse]] = (
    _Codec(inference_pb2.PredictBatchResponse, is_single=False)
)
"""PredictBatch: N observations, N actions."""


def place_of(field: str, space: BoxSpace) -> int | None:
    """The place, among all numbers of a request, of what a policy names `observations[1][4]`.

    None for what is not a number of an observation.
    """
    indices = [int(index) for index in _INDEX.findall(field)]
    if not field.startswith("observation") or not indices:
        return None
    row, place = indices[: -len(space.shape)], indices[-len(space.shape) :]
    return int(np.ravel_multi_index(place, space.shape)) + sum(row) * math.prod(space.shape)


def _shape_of_batch(request: Any, space: BoxSpace) -> tuple[int, ...]:
    if not request.observation_count:
        raise _refusal("observation_count", "0 instead of at least 1")
    return (request.observation_count, *space.shape)


def _numbers(request: Request, size: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if not request.HasField("values"):
        raise _refusal("values", f"absent; {size} numbers are needed, {shape}")
    values = request.values.values
    if len(values) != size:
        raise _refusal("values.values", f"{len(values)} numbers instead of {size}, {shape}")
    return np.fromiter(values, np.float32, count=size)


def _refusal(field: str, description: str) -> ObservationError:
    return ObservationError("observation is refused", [FieldViolation(field, description)])
