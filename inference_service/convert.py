"""Between protobuf messages and numpy, without a copy where the wire allows."""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_service.registry import LoadedVersion, QuarantinedVersion
from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BoxSpace, DiscreteSpace
from tradewind.errors import FieldViolation, ObservationError
from tradewind.policy import LatencySnapshot

__all__ = [
    "in_request",
    "latency_report",
    "place_of",
    "policy_version_message",
    "quarantined_message",
    "read_observation",
    "read_observations",
]

_FLOAT32_LE = np.dtype("<f4")
_INDEX = re.compile(r"\[(\d+)\]")


def read_observation(request: inference_pb2.PredictRequest, space: BoxSpace) -> NDArray[np.float32]:
    """The observation of a request, in the shape of the space.

    Raises:
        ObservationError: It is absent or has another number of values.
    """
    return _read(request, space.shape)


def read_observations(
    request: inference_pb2.PredictBatchRequest, space: BoxSpace
) -> NDArray[np.float32]:
    """The observations of a request: [observation_count, *shape].

    Raises:
        ObservationError: They are absent or there is another number of values.
    """
    if not request.observation_count:
        raise _refusal("observation_count", "0 instead of at least 1")
    return _read(request, (request.observation_count, *space.shape))


def in_request(
    error: ObservationError,
    request: inference_pb2.PredictRequest | inference_pb2.PredictBatchRequest,
    space: BoxSpace,
) -> ObservationError:
    """What the policy has refused, where it stands in the request.

    A policy names an element by its indices, `observation[4]`; the request has a flat list of
    numbers, or their bytes.
    """
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


def place_of(field: str, space: BoxSpace) -> int | None:
    """The place, among all numbers of a request, of what a policy names `observations[1][4]`.

    None for what is not a number of an observation.
    """
    indices = [int(index) for index in _INDEX.findall(field)]
    if not field.startswith("observation") or not indices:
        return None
    row, place = indices[: -len(space.shape)], indices[-len(space.shape) :]
    return int(np.ravel_multi_index(place, space.shape)) + sum(row) * math.prod(space.shape)


def policy_version_message(
    version: LoadedVersion, labels: Sequence[str]
) -> inference_pb2.PolicyVersion:
    """A loaded version as ListPolicies and GetPolicy show it."""
    metadata = version.policy.metadata
    return inference_pb2.PolicyVersion(
        policy=version.name,
        version=version.version,
        bundle_sha256=version.sha256,
        algorithm=metadata.algo,
        observation_space=_space_message(metadata.obs_space),
        action_space=_space_message(metadata.action_space),
        labels=labels,
        runtime=version.policy.runtime,
        runtime_reason=version.policy.runtime_reason,
        risk_policy_digest=metadata.risk.policy_digest if metadata.risk else "",
        feature_spec_digest=metadata.features.digest if metadata.features else "",
        loaded_at=version.loaded_at,
    )


def quarantined_message(version: QuarantinedVersion) -> inference_pb2.QuarantinedVersion:
    """A refused version as ListPolicies shows it."""
    return inference_pb2.QuarantinedVersion(
        policy=version.name,
        version=version.version,
        reason=version.reason,
        detail=version.detail,
        quarantined_at=version.quarantined_at,
    )


def latency_report(version: LoadedVersion) -> inference_pb2.LatencyReport:
    """Model compute of a version, single and in batches; percentiles of no call are NaN."""
    report = _latency_report(version, version.latencies.snapshot())
    report.batch.CopyFrom(_latency_report(version, version.batch_latencies.snapshot()))
    return report


def _latency_report(
    version: LoadedVersion, latencies: LatencySnapshot
) -> inference_pb2.LatencyReport:
    return inference_pb2.LatencyReport(
        policy=version.name,
        version=version.version,
        call_count=latencies.count,
        mean_us=latencies.mean_ns / 1e3,
        p50_us=latencies.percentile_ns(50.0) / 1e3,
        p90_us=latencies.percentile_ns(90.0) / 1e3,
        p99_us=latencies.percentile_ns(99.0) / 1e3,
        p999_us=latencies.percentile_ns(99.9) / 1e3,
        p9999_us=latencies.percentile_ns(99.99) / 1e3,
        max_us=latencies.max_ns / 1e3,
        slo_violation_count=latencies.over_slo_count,
        slo_us=latencies.slo_ns / 1e3,
    )


def _read(
    request: inference_pb2.PredictRequest | inference_pb2.PredictBatchRequest,
    shape: tuple[int, ...],
) -> NDArray[np.float32]:
    size = math.prod(shape)
    raw = request.values_f32_le
    if raw:
        if len(raw) != 4 * size:
            raise _refusal("values_f32_le", f"{len(raw)} bytes instead of {4 * size}, {shape}")
        return np.frombuffer(raw, _FLOAT32_LE).reshape(shape)
    if not request.HasField("values"):
        raise _refusal("values", f"absent; {size} numbers are needed, {shape}")
    values = request.values.values
    if len(values) != size:
        raise _refusal("values.values", f"{len(values)} numbers instead of {size}, {shape}")
    return np.fromiter(values, np.float32, count=size).reshape(shape)


def _space_message(space: BoxSpace | DiscreteSpace) -> inference_pb2.Space:
    if isinstance(space, DiscreteSpace):
        return inference_pb2.Space(kind=inference_pb2.SPACE_KIND_DISCRETE, choice_count=space.n)
    return inference_pb2.Space(
        kind=inference_pb2.SPACE_KIND_BOX,
        shape=space.shape,
        low=_bounds(space.low_array()),
        high=_bounds(space.high_array()),
    )


def _bounds(values: NDArray[Any]) -> list[float]:
    listed: list[float] = values.ravel().tolist()
    return listed[:1] if len(set(listed)) == 1 else listed


def _refusal(field: str, description: str) -> ObservationError:
    return ObservationError("observation is refused", [FieldViolation(field, description)])
