"""Between protobuf messages and numpy, without a copy where the wire allows."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from inference_service.registry import LoadedVersion, QuarantinedVersion
from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BoxSpace, DiscreteSpace
from tradewind.policy import LatencySnapshot

__all__ = [
    "latency_report",
    "policy_version_message",
    "quarantined_message",
]


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
