"""Between what the inference service serves, answers and routes, and its messages."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BoxSpace, DiscreteSpace
from tradewind.rpc.codecs.fields import Conversion, MessageCodec, by_name
from tradewind.serving import (
    BatchPrediction,
    LatencyReport,
    PolicyDescription,
    PolicyListing,
    PolicyVersion,
    Prediction,
    QuarantinedVersion,
    Rollback,
    Routing,
    RoutingVariant,
    ShadowAnswer,
    VariantBounds,
    VariantState,
)

__all__ = [
    "LATENCY_REPORT",
    "POLICY_DESCRIPTION",
    "ROLLBACK",
    "SHADOW_ANSWER",
    "SPACE",
    "read_batch_prediction",
    "read_listing",
    "read_prediction",
    "read_routing",
    "write_listing",
    "write_routing",
]


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
        tuple(map(_POLICY_VERSION.read, answer.policy_versions)),
        tuple(map(_QUARANTINED.read, answer.quarantined_versions)),
        read_routing(answer.routing),
    )


def write_listing(listing: PolicyListing) -> inference_pb2.ListPoliciesResponse:
    """The message of a listing."""
    return inference_pb2.ListPoliciesResponse(
        policy_versions=map(_POLICY_VERSION.write, listing.policy_versions),
        quarantined_versions=map(_QUARANTINED.write, listing.quarantined_versions),
        routing=write_routing(listing.routing),
    )


def read_routing(message: inference_pb2.Routing) -> Routing:
    """The routing that a message carries.

    Raises:
        RpcError: A newer service has a variant in a state that is not known here.
    """
    variants = tuple(
        _VARIANT.read(variant, policy=policy.policy)
        for policy in message.policies
        for variant in policy.variants
    )
    return _ROUTING.read(message, variants=variants)


def write_routing(routing: Routing) -> inference_pb2.Routing:
    """The message of a routing, where variants stand under their policy."""
    message: inference_pb2.Routing = _ROUTING.write(routing)
    for variant in routing.variants:
        if not message.policies or message.policies[-1].policy != variant.policy:
            message.policies.add(policy=variant.policy)
        message.policies[-1].variants.append(_VARIANT.write(variant))
    return message


def _read_space(message: inference_pb2.Space) -> BoxSpace | DiscreteSpace:
    if message.kind == inference_pb2.SPACE_KIND_DISCRETE:
        return DiscreteSpace(n=message.choice_count)
    shape = tuple(message.shape)
    low, high = _read_bounds(message.low, shape), _read_bounds(message.high, shape)
    return BoxSpace.from_bounds(shape, low, high)


def _write_space(space: BoxSpace | DiscreteSpace) -> inference_pb2.Space:
    if isinstance(space, DiscreteSpace):
        return inference_pb2.Space(kind=inference_pb2.SPACE_KIND_DISCRETE, choice_count=space.n)
    return inference_pb2.Space(
        kind=inference_pb2.SPACE_KIND_BOX,
        shape=space.shape,
        low=_write_bounds(space.low_array()),
        high=_write_bounds(space.high_array()),
    )


def _read_bounds(listed: Sequence[float], shape: tuple[int, ...]) -> NDArray[np.float64]:
    # One bound on the wire stands for all.
    return np.broadcast_to(listed, shape) if len(listed) == 1 else np.reshape(listed, shape)


def _write_bounds(values: NDArray[Any]) -> list[float]:
    listed: list[float] = values.ravel().tolist()
    return listed[:1] if len(set(listed)) == 1 else listed


SPACE: Final = Conversion(_read_space, _write_space)
_POLICY_VERSION: Final = MessageCodec(
    PolicyVersion,
    inference_pb2.PolicyVersion,
    parts={"observation_space": SPACE, "action_space": SPACE},
)
_QUARANTINED: Final = MessageCodec(QuarantinedVersion, inference_pb2.QuarantinedVersion)
POLICY_DESCRIPTION: Final = MessageCodec(
    PolicyDescription,
    inference_pb2.GetPolicyResponse,
    parts={"policy_version": _POLICY_VERSION},
)
LATENCY_REPORT: Final = MessageCodec(
    LatencyReport,
    inference_pb2.LatencyReport,
    parts={
        "batch": MessageCodec(LatencyReport, inference_pb2.LatencyReport, without={"batch"}),
    },
)
ROLLBACK: Final = MessageCodec(Rollback, inference_pb2.Rollback)
SHADOW_ANSWER: Final = MessageCodec(ShadowAnswer, inference_pb2.ShadowAnswer)
_VARIANT: Final = MessageCodec(
    RoutingVariant,
    inference_pb2.Variant,
    names={"target_policy": "policy"},
    parts={
        "state": by_name(
            VariantState,
            inference_pb2.VariantState.DESCRIPTOR,
            "VARIANT_STATE_",
            "the inference service has a variant in state",
        ),
        "bounds": MessageCodec(
            VariantBounds,
            inference_pb2.VariantBounds,
            names={"window_calls": "window_call_count"},
        ),
    },
    without={"policy"},
)
_ROUTING: Final = MessageCodec(
    Routing, inference_pb2.Routing, parts={"rollbacks": ROLLBACK}, without={"variants"}
)
