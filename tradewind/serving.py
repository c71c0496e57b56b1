"""What the inference service serves, answers and routes: in the service, and at its clients."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tradewind.bundle import BoxSpace, DiscreteSpace
from tradewind.settings import Settings

__all__ = [
    "BatchPrediction",
    "LatencyReport",
    "PolicyDescription",
    "PolicyListing",
    "PolicyVersion",
    "Prediction",
    "QuarantinedVersion",
    "Rollback",
    "Routing",
    "RoutingVariant",
    "ShadowAnswer",
    "VariantBounds",
    "VariantState",
]


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


class VariantBounds(Settings):
    """When a challenger is taken out; what is not set is not judged."""

    window_calls: int = Field(default=1_000, ge=1, le=100_000_000)
    """Calls that model compute and errors are judged over, in each process."""

    percentile: float = Field(default=99.0, gt=0.0, lt=100.0)
    """Of model compute; 99 lets 1 % of the calls exceed model_compute_us."""

    model_compute_us: float | None = Field(default=None, gt=0.0)
    """Most microseconds of that percentile."""

    error_share: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Most calls that may fail, as a share; bad input is no failure."""

    max_drawdown: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Largest fraction lost from a running peak, by the decision log."""

    expected_shortfall_95: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Largest mean loss per bar of the worst 5 % of the bars, by the log."""


class VariantState(StrEnum):
    """Whether a variant gives answers."""

    ACTIVE = "ACTIVE"
    NOT_LOADED = "NOT_LOADED"
    QUARANTINED = "QUARANTINED"
    OTHER_CONTRACT = "OTHER_CONTRACT"
    ROLLED_BACK = "ROLLED_BACK"


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
        state: Whether it gives answers.
        detail: Why it does not.
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
    state: VariantState
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
        name: Who took it out; `inference_service` when the service did.
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


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """What a shadow would have answered, beside what was answered.

    Attributes:
        policy: The policy that is routed.
        shadow: Name of the shadow.
        shadow_version: Its version.
        variant: Who answered.
        version: Its version.
        request_id: That of the call.
        routing_key: Likewise.
        row_count: Rows of the call.
        differing_row_count: Rows whose actions differ; of a continuous action, by more than 1e-5.
        actions: What was answered, row-major, the first 64 values.
        shadow_actions: What the shadow gave; empty when it failed.
        failure: Why it failed; empty when it did not.
        answered_at: Seconds since the epoch.
    """

    policy: str
    shadow: str
    shadow_version: str
    variant: str
    version: str
    request_id: str
    routing_key: str
    row_count: int
    differing_row_count: int
    actions: tuple[float, ...]
    shadow_actions: tuple[float, ...]
    failure: str
    answered_at: float


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
