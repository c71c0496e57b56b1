"""The calls of the inference service: their requests, and what their answers say."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.errors import FieldViolation, ObservationError
from tradewind.rpc.clients.call import Call, Exchange, Service
from tradewind.rpc.codecs.inference import (
    LATENCY_REPORT,
    POLICY_DESCRIPTION,
    ROLLBACK,
    SHADOW_ANSWER,
    read_batch_prediction,
    read_listing,
    read_prediction,
    read_routing,
)
from tradewind.serving import (
    BatchPrediction,
    LatencyReport,
    PolicyDescription,
    PolicyListing,
    Prediction,
    Rollback,
    Routing,
    ShadowAnswer,
)

__all__ = [
    "PREDICT_STREAM",
    "SERVICE",
    "get_policy",
    "get_routing",
    "latency_reports",
    "list_policies",
    "predict",
    "predict_batch",
    "reinstate_variant",
    "roll_back_variant",
    "shadow_answers",
]

_FLOAT32_LE = np.dtype("<f4")

SERVICE = Service(
    full_name="tradewind.api.inference.v1.InferenceService",
    stub=inference_pb2_grpc.InferenceServiceStub,
    retried_methods=(
        "Predict",
        "PredictBatch",
        "GetPolicy",
        "ListPolicies",
        "GetLatencyReport",
        "GetRouting",
        "ListShadowAnswers",
    ),
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
    routing_key: str = "",
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
        routing_key: Where the policy is routed, the same key goes to the same variant.
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
        routing_key=routing_key,
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
    routing_key: str = "",
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
        routing_key: Where the policy is routed, the same key goes to the same variant.
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
        routing_key=routing_key,
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
    return Call("GetPolicy", request, POLICY_DESCRIPTION.read, timeout_s)


def latency_reports(
    policy: str = "", version: str = "", *, timeout_s: float | None = None
) -> Call[tuple[LatencyReport, ...]]:
    """Model-compute latency per loaded version, as the server measured it.

    Raises:
        NotFoundError: Unknown policy or version.
    """
    request = inference_pb2.GetLatencyReportRequest(policy=policy, version=version)
    return Call(
        "GetLatencyReport",
        request,
        lambda answer: tuple(map(LATENCY_REPORT.read, answer.reports)),
        timeout_s,
    )


def get_routing(policy: str = "", *, timeout_s: float | None = None) -> Call[Routing]:
    """What answers calls that name neither a version nor a label; of one policy, or of all."""
    request = inference_pb2.GetRoutingRequest(policy=policy)
    return Call("GetRouting", request, lambda answer: read_routing(answer.routing), timeout_s)


def roll_back_variant(
    policy: str, variant: str, *, name: str, reason: str, timeout_s: float | None = None
) -> Call[Rollback]:
    """Takes a variant out of the routing, for a named person or program and a reason.

    An earlier rollback stands as it is. Never repeated by itself.

    Raises:
        NotFoundError: The routing has no such variant.
        ConflictError: It is the champion, or a shadow.
        UnavailableError: The server that was asked has taken it out, but cannot keep that.
    """
    request = inference_pb2.RollBackVariantRequest(
        policy=policy, variant=variant, name=name, reason=reason
    )
    return Call(
        "RollBackVariant", request, lambda answer: ROLLBACK.read(answer.rollback), timeout_s
    )


def reinstate_variant(
    policy: str, variant: str, *, name: str, reason: str, timeout_s: float | None = None
) -> Call[Rollback]:
    """Lets a variant have its share again, and gives the rollback that was ended.

    Raises:
        NotFoundError: It is not taken out.
    """
    request = inference_pb2.ReinstateVariantRequest(
        policy=policy, variant=variant, name=name, reason=reason
    )
    return Call(
        "ReinstateVariant", request, lambda answer: ROLLBACK.read(answer.rollback), timeout_s
    )


def shadow_answers(
    policy: str = "",
    shadow: str = "",
    *,
    differing_only: bool = False,
    limit: int = 100,
    timeout_s: float | None = None,
) -> Call[tuple[ShadowAnswer, ...]]:
    """The latest answers of shadows in the server that is asked, newest first.

    Args:
        policy: Of one policy; empty for all.
        shadow: Of one shadow; empty for all.
        differing_only: Only where it would have answered otherwise.
        limit: At most so many.
        timeout_s: Deadline in seconds; the client's own by default.
    """
    request = inference_pb2.ListShadowAnswersRequest(
        policy=policy, shadow=shadow, differing_only=differing_only, limit=limit
    )
    return Call(
        "ListShadowAnswers",
        request,
        lambda answer: tuple(map(SHADOW_ANSWER.read, answer.shadow_answers)),
        timeout_s,
    )


def _float32(values: ArrayLike, field: str) -> NDArray[np.float32]:
    try:
        return np.asarray(values, dtype=_FLOAT32_LE)
    except (TypeError, ValueError) as problem:
        raise _refusal(field, f"cannot be an array of float32: {problem}") from None


def _refusal(field: str, description: str) -> ObservationError:
    return ObservationError("observation is refused", [FieldViolation(field, description)])
