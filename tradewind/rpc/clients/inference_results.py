"""What the inference service answers, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BoxSpace, DiscreteSpace
from tradewind.rpc.clients.routing_results import Routing, read_routing

__all__ = [
    "BatchPrediction",
    "LatencyReport",
    "PolicyDescription",
    "PolicyListing",
    "PolicyVersion",
    "Prediction",
    "QuarantinedVersion",
    "read_batch_prediction",
    "read_description",
    "read_latency_reports",
    "read_listing",
    "read_prediction",
]

T = TypeVar("T", "LatencyReport", "QuarantinedVersion")


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """One answer of the inference service.

    Attributes:
        action: Index of a discrete action, or the values of a continuous one (float32, row-major).
        policy: Policy that gave it.
        version: Version that gave it.
        bundle_sha256: Digest of the network that gave it.
        model_compute_ns: Time of the network alone, in the server.
        slo_met: The server's verdict on that time.
        variant: What the server's routing chose; empty without routing.
        request_id: That of the request.
    """

    action: int | NDArray[np.float32]
    policy: str
    version: str
    bundle_sha256: str
    model_compute_ns: int
    slo_met: bool
    variant: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class BatchPrediction:
    """The answer to N observations, all of it from one version.

    Attributes:
        actions: int64 [N] for a discrete action space, float32 [N, size] for a continuous one.
        policy: Policy that gave them.
        version: Version that gave them.
        bundle_sha256: Digest of the network that gave them.
        model_compute_ns: Time of the network for the whole batch, in the server.
        slo_met: The server's verdict on that time.
        variant: What the server's routing chose; empty without routing.
        request_id: That of the request.
    """

    actions: NDArray[np.int64] | NDArray[np.float32]
    policy: str
    version: str
    bundle_sha256: str
    model_compute_ns: int
    slo_met: bool
    variant: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A loaded version.

    Attributes:
        policy: Its policy.
        version: Its version.
        bundle_sha256: Digest of its network.
        algorithm: Training algorithm, e.g. "SB3-DQN".
        observation_space: What Predict takes.
        action_space: What Predict gives.
        labels: Labels that name it, e.g. "served".
        runtime: What executes the network.
        runtime_reason: Why a faster runtime was not chosen; empty when it was.
        risk_policy_digest: The risk policy it was trained under; empty for none.
        feature_spec_digest: How its observations are built; empty when the bundle does not say.
        loaded_at: Seconds since the epoch.
    """

    policy: str
    version: str
    bundle_sha256: str
    algorithm: str
    observation_space: BoxSpace
    action_space: BoxSpace | DiscreteSpace
    labels: tuple[str, ...]
    runtime: str
    runtime_reason: str
    risk_policy_digest: str
    feature_spec_digest: str
    loaded_at: float


@dataclass(frozen=True, slots=True)
class QuarantinedVersion:
    """A version that was refused and does not serve.

    Attributes:
        policy: Its policy.
        version: Its version.
        reason: Machine-readable cause, e.g. "DIGEST_MISMATCH".
        detail: The same for people.
        quarantined_at: Seconds since the epoch.
    """

    policy: str
    version: str
    reason: str
    detail: str
    quarantined_at: float


@dataclass(frozen=True, slots=True)
class PolicyListing:
    """Every version that is loaded, every version that was refused, and the routing."""

    policy_versions: tuple[PolicyVersion, ...]
    quarantined_versions: tuple[QuarantinedVersion, ...]
    routing: Routing


@dataclass(frozen=True, slots=True)
class PolicyDescription:
    """A loaded version, and its metadata.json as published."""

    policy_version: PolicyVersion
    metadata_json: str


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """Model compute of one version since it was loaded, as its server measured it.

    Attributes:
        policy: Its policy.
        version: Its version.
        call_count: Predictions measured; with none the times are NaN.
        mean_us: Mean, like all times in microseconds.
        p50_us: Median.
        p90_us: 90th percentile.
        p99_us: 99th percentile.
        p999_us: 99.9th percentile.
        p9999_us: 99.99th percentile.
        max_us: Longest.
        slo_violation_count: Predictions that took longer than the objective.
        slo_us: The objective.
        batch: The same of calls with a batch of observations, PredictBatch and ModelInfer; above
            are those with one, Predict and PredictStream. None from a server that does not say it.
    """

    policy: str
    version: str
    call_count: int
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    p9999_us: float
    max_us: float
    slo_violation_count: int
    slo_us: float
    batch: "LatencyReport | None" = None


def read_prediction(answer: inference_pb2.PredictResponse) -> Prediction:
    """The answer to Predict."""
    action: int | NDArray[np.float32] = answer.discrete
    if answer.WhichOneof("action") == "continuous":
        action = np.array(answer.continuous.values, dtype=np.float32)
    return Prediction(
        action,
        answer.policy,
        answer.version,
        answer.bundle_sha256,
        answer.model_compute_ns,
        answer.slo_met,
        answer.variant,
        answer.request_id,
    )


def read_batch_prediction(
    answer: inference_pb2.PredictBatchResponse, count: int
) -> BatchPrediction:
    """The answer to PredictBatch for `count` observations."""
    actions: NDArray[Any] = np.array(answer.discrete, dtype=np.int64)
    if answer.HasField("continuous"):
        actions = np.array(answer.continuous.values, dtype=np.float32).reshape(count, -1)
    return BatchPrediction(
        actions,
        answer.policy,
        answer.version,
        answer.bundle_sha256,
        answer.model_compute_ns,
        answer.slo_met,
        answer.variant,
        answer.request_id,
    )


def read_listing(answer: inference_pb2.ListPoliciesResponse) -> PolicyListing:
    """The answer to ListPolicies."""
    return PolicyListing(
        tuple(_policy_version(message) for message in answer.policy_versions),
        tuple(_copy(QuarantinedVersion, message) for message in answer.quarantined_versions),
        read_routing(answer.routing),
    )


def read_description(answer: inference_pb2.GetPolicyResponse) -> PolicyDescription:
    """The answer to GetPolicy."""
    return PolicyDescription(_policy_version(answer.policy_version), answer.metadata_json)


def read_latency_reports(
    answer: inference_pb2.GetLatencyReportResponse,
) -> tuple[LatencyReport, ...]:
    """The answer to GetLatencyReport."""
    return tuple(map(_latency_report, answer.reports))


def _latency_report(message: inference_pb2.LatencyReport) -> LatencyReport:
    batch = _latency_report(message.batch) if message.HasField("batch") else None
    return _copy(LatencyReport, message, batch=batch)


def _policy_version(message: inference_pb2.PolicyVersion) -> PolicyVersion:
    action_space = message.action_space
    discrete = action_space.kind == inference_pb2.SPACE_KIND_DISCRETE
    return PolicyVersion(
        policy=message.policy,
        version=message.version,
        bundle_sha256=message.bundle_sha256,
        algorithm=message.algorithm,
        observation_space=_box(message.observation_space),
        action_space=DiscreteSpace(n=action_space.choice_count) if discrete else _box(action_space),
        labels=tuple(message.labels),
        runtime=message.runtime,
        runtime_reason=message.runtime_reason,
        risk_policy_digest=message.risk_policy_digest,
        feature_spec_digest=message.feature_spec_digest,
        loaded_at=message.loaded_at,
    )


def _box(message: inference_pb2.Space) -> BoxSpace:
    shape = tuple(message.shape)
    return BoxSpace.from_bounds(shape, _bounds(message.low, shape), _bounds(message.high, shape))


def _bounds(listed: Sequence[float], shape: tuple[int, ...]) -> NDArray[np.float64]:
    # One bound on the wire stands for all.
    return np.broadcast_to(listed, shape) if len(listed) == 1 else np.reshape(listed, shape)


def _copy(kind: type[T], message: Message, **others: Any) -> T:
    """A value whose attributes are the fields of a message, but for the others."""
    names = [field.name for field in fields(kind) if field.name not in others]
    return kind(**{name: getattr(message, name) for name in names}, **others)
