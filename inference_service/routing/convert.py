"""The routing as protobuf messages."""

from dataclasses import asdict

from inference_service.routing.compilation import VariantStatus
from inference_service.routing.file import BoundSettings
from inference_service.routing.follower import RoutingView
from inference_service.routing.rollbacks import Rollback
from tradewind.api.inference.v1 import inference_pb2
from tradewind.policy.shadow_answer import ShadowAnswer

__all__ = ["rollback_message", "routing_message", "shadow_answer_message"]


def routing_message(view: RoutingView, policy: str = "") -> inference_pb2.Routing:
    """The whole routing, or what it has of one policy."""
    message = inference_pb2.Routing(
        file_sha256=view.sha256, refusal=view.refusal, state_problem=view.state_problem
    )
    for status in view.statuses:
        if policy in ("", status.policy):
            if not message.policies or message.policies[-1].policy != status.policy:
                message.policies.add(policy=status.policy)
            message.policies[-1].variants.append(_variant_message(status, view))
    if view.state is not None:
        message.rollbacks.extend(
            rollback_message(rollback)
            for rollback in view.state.rollbacks
            if policy in ("", rollback.policy)
        )
    return message


def rollback_message(rollback: Rollback) -> inference_pb2.Rollback:
    """Who took a variant out, and why."""
    return inference_pb2.Rollback(**rollback.model_dump())


def shadow_answer_message(answer: ShadowAnswer) -> inference_pb2.ShadowAnswer:
    """What a shadow would have answered."""
    return inference_pb2.ShadowAnswer(**asdict(answer))


def _variant_message(status: VariantStatus, view: RoutingView) -> inference_pb2.Variant:
    counts, version = status.tally.counts(), status.version
    reinstated_at = 0.0
    if view.state is not None:
        reinstated_at = view.state.reinstated_at(status.policy, status.name)
    return inference_pb2.Variant(
        name=status.name,
        target=status.settings.target,
        policy=version.name if version is not None else "",
        version=version.version if version is not None else "",
        champion=status.is_champion,
        shadow=status.is_shadow,
        weight=status.weight,
        share=status.share,
        state=inference_pb2.VariantState.Value(f"VARIANT_STATE_{status.state}"),
        detail=status.detail,
        bounds=_bounds_message(status.bounds) if status.bounds is not None else None,
        answer_count=counts.answered,
        failure_count=counts.failed,
        reinstated_at=reinstated_at,
    )


def _bounds_message(bounds: BoundSettings) -> inference_pb2.VariantBounds:
    return inference_pb2.VariantBounds(
        window_call_count=bounds.window_calls,
        percentile=bounds.percentile,
        model_compute_us=bounds.model_compute_us,
        error_share=bounds.error_share,
        max_drawdown=bounds.max_drawdown,
        expected_shortfall_95=bounds.expected_shortfall_95,
    )
