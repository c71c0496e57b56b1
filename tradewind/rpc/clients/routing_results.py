"""What the inference service answers about its routing, as plain values."""

from collections.abc import Set
from dataclasses import dataclass, fields
from typing import Any

from google.protobuf.message import Message

from tradewind.api.inference.v1 import inference_pb2
from tradewind.policy.shadow_answer import ShadowAnswer

__all__ = [
    "Rollback",
    "Routing",
    "RoutingVariant",
    "ShadowAnswer",
    "VariantBounds",
    "read_rollback",
    "read_routing",
    "read_shadow_answers",
]

_STATE_PREFIX = "VARIANT_STATE_"


@dataclass(frozen=True, slots=True)
class VariantBounds:
    """When a challenger is taken out; None is not judged.

    Attributes:
        window_call_count: Calls that model compute and errors are judged over.
        percentile: Of model compute.
        model_compute_us: Most microseconds of that percentile.
        error_share: Most calls that may fail, as a share.
        max_drawdown: Largest fraction lost from a running peak.
        expected_shortfall_95: Largest mean loss per bar of the worst 5 % of the bars.
    """

    window_call_count: int
    percentile: float
    model_compute_us: float | None
    error_share: float | None
    max_drawdown: float | None
    expected_shortfall_95: float | None


@dataclass(frozen=True, slots=True)
class RoutingVariant:
    """A variant or shadow as it stands.

    Attributes:
        policy: The policy that is routed.
        name: Its name.
        target: What the routing file has it stand for.
        target_policy: Policy of the version that it stands for now.
        version: That version; empty when it is not loaded.
        champion: It answers in place of a variant that cannot.
        shadow: Its answers are recorded, never given.
        weight: Its share of the calls by the file.
        share: Its share now.
        state: ACTIVE, NOT_LOADED, QUARANTINED, OTHER_CONTRACT or ROLLED_BACK.
        detail: Why it is not ACTIVE.
        bounds: When it is taken out; None for never.
        answer_count: Calls that the process asked has answered with it.
        failure_count: Calls that it could not answer.
        reinstated_at: Seconds since the epoch; 0 when nobody ever reinstated it.
    """

    policy: str
    name: str
    target: str
    target_policy: str
    version: str
    champion: bool
    shadow: bool
    weight: float
    share: float
    state: str
    detail: str
    bounds: VariantBounds | None
    answer_count: int
    failure_count: int
    reinstated_at: float


@dataclass(frozen=True, slots=True)
class Rollback:
    """A variant that was taken out.

    Attributes:
        policy: Its policy.
        variant: Its name.
        cause: MODEL_COMPUTE, ERROR_SHARE or REQUESTED.
        reason: The same for people.
        name: Who took it out.
        rolled_back_at: Seconds since the epoch.
    """

    policy: str
    variant: str
    cause: str
    reason: str
    name: str
    rolled_back_at: float


@dataclass(frozen=True, slots=True)
class Routing:
    """The routing of the server that was asked.

    Attributes:
        variants: Variants and shadows, policy by policy.
        rollbacks: What is taken out.
        file_sha256: Of the routing file in force; empty when there is none.
        refusal: Why the file as it stands is not in force; empty when it is.
        state_problem: Why rollbacks cannot be read or kept; empty when they can.
    """

    variants: tuple[RoutingVariant, ...]
    rollbacks: tuple[Rollback, ...]
    file_sha256: str
    refusal: str
    state_problem: str

    def variant(self, policy: str, name: str) -> RoutingVariant | None:
        """A variant; None when there is none of that name."""
        for variant in self.variants:
            if (variant.policy, variant.name) == (policy, name):
                return variant
        return None


def read_routing(routing: inference_pb2.Routing) -> Routing:
    """The routing in an answer."""
    return Routing(
        variants=tuple(
            _variant(policy.policy, variant)
            for policy in routing.policies
            for variant in policy.variants
        ),
        rollbacks=tuple(map(read_rollback, routing.rollbacks)),
        file_sha256=routing.file_sha256,
        refusal=routing.refusal,
        state_problem=routing.state_problem,
    )


def read_rollback(message: inference_pb2.Rollback) -> Rollback:
    """A rollback in an answer."""
    return Rollback(**_values(Rollback, message))


def read_shadow_answers(
    answer: inference_pb2.ListShadowAnswersResponse,
) -> tuple[ShadowAnswer, ...]:
    """The answer to ListShadowAnswers."""
    return tuple(
        ShadowAnswer(
            **{
                **_values(ShadowAnswer, message),
                "actions": tuple(message.actions),
                "shadow_actions": tuple(message.shadow_actions),
            }
        )
        for message in answer.shadow_answers
    )


def _variant(policy: str, message: inference_pb2.Variant) -> RoutingVariant:
    return RoutingVariant(
        policy=policy,
        target_policy=message.policy,
        state=inference_pb2.VariantState.Name(message.state).removeprefix(_STATE_PREFIX),
        bounds=_bounds(message.bounds) if message.HasField("bounds") else None,
        **_values(RoutingVariant, message, {"policy", "target_policy", "state", "bounds"}),
    )


def _bounds(message: inference_pb2.VariantBounds) -> VariantBounds:
    unset = {field.name: None for field in fields(VariantBounds)}
    present = {field.name: value for field, value in message.ListFields()}
    return VariantBounds(**{**unset, **present})


def _values(kind: type[Any], message: Message, without: Set[str] = frozenset()) -> dict[str, Any]:
    """The fields of a message that are attributes of a class, but for some."""
    names = {field.name for field in fields(kind)} - without
    return {name: getattr(message, name) for name in names}
