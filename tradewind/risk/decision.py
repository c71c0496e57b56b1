"""What the risk service decides, and under which policy, wherever it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tradewind.risk.pretrade import PreTradeCheck
from tradewind.risk.report import RiskReport
from tradewind.risk.rules import Action, Breach
from tradewind.risk.settings import EnabledCalculator

__all__ = [
    "Decision",
    "DecisionKind",
    "DecisionRecord",
    "Evaluation",
    "Halt",
    "RiskPolicyStatus",
]


class DecisionKind(StrEnum):
    """What made the decision."""

    EVALUATE = "evaluate"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Halt:
    """Why an account is halted.

    Attributes:
        action: HALT or LIQUIDATE.
        since: The service's clock when it was latched, seconds since the epoch.
        rule: The rule that demanded it.
        reason: Why.
        decision_id: The decision that latched it.
    """

    action: Action
    since: float
    rule: str
    reason: str
    decision_id: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and on what grounds.

    Attributes:
        decision_id: Unique.
        decided_at: The service's clock, seconds since the epoch.
        account: The account.
        kind: Evaluate or resume.
        action: What the caller was told to do; ALLOW for a resume.
        request_id: The caller's own name for the request.
        now: The caller's clock; None when it was missing or not finite.
        inputs_digest: Digest of the inputs and the intended order (see risk_service.digest).
        policy_digest: Digest of the risk policy in force.
        overlay_digest: Digest of the overlay that was on; empty for none.
        metric_values: The metrics.
        unavailable: Why the others have no value.
        breaches: Every breach, shadow rules included.
        pre_trade: The account after the intended order; None when there was none.
        halt: The account's halt after this decision; None when it is not halted.
        actor_name: Who resumed.
        actor_role: In which role.
        reason: Why.
    """

    decision_id: str
    decided_at: float
    account: str
    kind: DecisionKind
    action: Action
    request_id: str = ""
    now: float | None = None
    inputs_digest: str = ""
    policy_digest: str = ""
    overlay_digest: str = ""
    metric_values: Mapping[str, float] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)
    breaches: tuple[Breach, ...] = ()
    pre_trade: PreTradeCheck | None = None
    halt: Halt | None = None
    actor_name: str = ""
    actor_role: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DecisionRecord(Decision):
    """A decision as it stands in the audit trail.

    Attributes:
        sequence: Number of its row.
        previous_hash: `row_hash` of the row before.
        row_hash: Over this row and `previous_hash`.
    """

    sequence: int = 0
    previous_hash: str = ""
    row_hash: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an account must do; recorded before it was answered.

    Attributes:
        action: What to do.
        breaches: Every breach, shadow rules included.
        halt: The account's halt; None when it is not halted.
        report: The metrics that the rules saw.
        pre_trade: The account after the intended order; None when there was none.
        decision_id: Names the decision in the audit trail.
        request_id: That of the request.
        overlay_digest: Digest of the overlay whose stricter limits counted too; empty for none.
    """

    action: Action
    breaches: tuple[Breach, ...]
    halt: Halt | None
    report: RiskReport
    pre_trade: PreTradeCheck | None
    decision_id: str
    request_id: str = ""
    overlay_digest: str = ""


@dataclass(frozen=True, slots=True)
class RiskPolicyStatus:
    """The risk policy in force.

    Attributes:
        policy_digest: Its digest (`RiskPolicy.digest`).
        limits: Every limit by metric, the overlay's where it has one.
        calculators: Names of the enabled calculators.
        rules: Name and condition of each rule, its limits resolved.
        canonical_json: The policy with every default spelled out; `RiskPolicy.parse` reads it.
        refusal: Why the files of policy and overlay as they now stand are not in force; empty when
            they are.
        parts_json: What the digest is taken over (`RiskPolicy.parts`); empty from a service of
            release 0.1.
        overlay_digest: Digest of the overlay that is on; empty for none.
        overlay_json: The overlay (`RiskOverlay`); empty for none.
        declared: What each enabled calculator declares, in the order of the reports; none from a
            service of an older release.
    """

    policy_digest: str
    limits: Mapping[str, float]
    calculators: tuple[str, ...]
    rules: tuple[str, ...]
    canonical_json: str
    refusal: str
    parts_json: str = ""
    overlay_digest: str = ""
    overlay_json: str = ""
    declared: tuple[EnabledCalculator, ...] = ()
