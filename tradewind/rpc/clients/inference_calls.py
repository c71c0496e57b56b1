"""The calls of the inference service: their requests, and what their answers say."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.errors import FieldViolation, ObservationError
from tradewind.rpc.clients.call import Call, Exchange, Service
from tradewind.rpc.clients.inference_results import (
    BatchPrediction,
    LatencyReport,
    PolicyDescription,
    PolicyListing,
    Prediction,
    read_batch_prediction,
    read_description,
    read_latency_reports,
    read_listing,
    read_prediction,
)

__all__ = [
    "PREDICT_STREAM",
    "SERVICE",
    "get_policy",
    "latency_reports",
    "list_policies",
    "predict",
    "predict_batch",
]

_FLOAT32_LE = np.dtype("<f4")

SERVICE = Service(
    full_name="tradewind.api.inference.v1.InferenceService",
    stub=inference_pb2_grpc.InferenceServiceStub,
    retried_methods=("Predict", "PredictBatch", "GetPolicy", "ListPolicies", "GetLatencyReport"),
    timeout_s=5.0,
)

PREDICT_STREAM = Exchange(
    "PredictStream",
    wrap=lambda request: inference_pb2.PredictStreamRequest(predict=request),
    unwrap=lambda answer: answer.predict,
)


def predict(
    observation: ArrayLike,
    *,
    policy: str = "",
    version: str = "",
    label: str = "",
    seed: int | None = None,
    request_id: str = "",
    timeout_s: float | None = None,
) -> Call[Prediction]:
    """One observation in, one action out.

    Args:
        observation: Float32, in the shape of the policy's observation space.
        policy: Name of the policy; may be empty when the server serves exactly one.
        version: Version; empty for the served one.
        label: Instead of a version, a label that one bears, such as `champion`.
        seed: Samples the action reproducibly; the mode of the distribution without.
        request_id: Written to the server's log.
        timeout_s: Deadline in seconds; the client's own by default.

    Raises:
        ObservationError: Wrong number of values, or one is not finite.
        NotFoundError: Unknown policy or version.
        UnavailableError: Nothing is served yet, or no server can be reached.
    """
    request = inference_pb2.PredictRequest(
        policy=policy,
        version=version,
        label=label,
        values_f32_le=_float32(observation, "observation").tobytes(),
        stochastic=seed is not None,
        seed=seed or 0,
        request_id=request_id,
    )
    return Call("Predict", request, read_prediction, timeout_s)


def predict_batch(
    observations: ArrayLike,
    *,
    policy: str = "",
    version: str = "",
    label: str = "",
    seed: int | None = None,
    request_id: str = "",
    timeout_s: float | None = None,
) -> Call[BatchPrediction]:
    """N observations in, N actions out, in one pass through the network.

    Args:
        observations: Float32 [N, *shape of the policy's observation space].
        policy: Name of the policy; may be empty when the server serves exactly one.
        version: Version; empty for the served one.
        label: Instead of a version, a label that one bears, such as `champion`.
        seed: Samples the actions reproducibly, each row with a seed of its own derived from it;
            the mode of the distribution without.
        request_id: Written to the server's log.
        timeout_s: Deadline in seconds; the client's own by default.

    Raises:
        ObservationError: No row, wrong number of values, or one is not finite.
        NotFoundError: Unknown policy or version.
        UnavailableError: Nothing is served yet, or no server can be reached.
    """
    rows = _float32(observations, "observations")
    if rows.ndim < 2:
        raise _refusal("observations", f"{rows.ndim} dimensions instead of [N, *shape]")
    request = inference_pb2.PredictBatchRequest(
        policy=policy,
        version=version,
        label=label,
        observation_count=len(rows),
        values_f32_le=rows.tobytes(),
        stochastic=seed is not None,
        seed=seed or 0,
        request_id=request_id,
    )
    return Call(
        "PredictBatch", request, lambda answer: read_batch_prediction(answer, len(rows)), timeout_s
    )


def list_policies(*, timeout_s: float | None = None) -> Call[PolicyListing]:
    """Every loaded version, and every version that was refused with its reason."""
    request = inference_pb2.ListPoliciesRequest()
    return Call("ListPolicies", request, read_listing, timeout_s)


def get_policy(
    policy: str = "", version: str = "", *, label: str = "", timeout_s: float | None = None
) -> Call[PolicyDescription]:
    """A policy's spaces and its metadata.json; `label` stands instead of a version.

    Raises:
        NotFoundError: Unknown policy or version.
    """
    request = inference_pb2.GetPolicyRequest(policy=policy, version=version, label=label)
    return Call("GetPolicy", request, read_description, timeout_s)


def latency_reports(
    policy: str = "", version: str = "", *, timeout_s: float | None = None
) -> Call[tuple[LatencyReport, ...]]:
    """Model-compute latency per loaded version, as the server measured it.

    Raises:
        NotFoundError: Unknown policy or version.
    """
    request = inference_pb2.GetLatencyReportRequest(policy=policy, version=version)
    return Call("GetLatencyReport", request, read_latency_reports, timeout_s)


def _float32(values: ArrayLike, field: str) -> NDArray[np.float32]:
    try:
        return np.asarray(values, dtype=_FLOAT32_LE)
    except (TypeError, ValueError) as problem:
        raise _refusal(field, f"cannot be an array of float32: {problem}") from None


def _refusal(field: str, description: str) -> ObservationError:
    return ObservationError("observation is refused", [FieldViolation(field, description)])
