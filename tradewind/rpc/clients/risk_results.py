"""What the risk service answers, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass

from tradewind.api.risk.v1 import risk_pb2
from tradewind.risk import EnabledCalculator, RiskReport
from tradewind.risk.decision import DecisionKind, Halt
from tradewind.risk.pretrade import PreTradeCheck
from tradewind.risk.rules import Action, Breach
from tradewind.rpc.risk.decision_codec import (
    action_from_message,
    breach_from_message,
    check_from_message,
    decision_kind_from_message,
    halt_from_message,
)
from tradewind.rpc.risk.risk_codec import risk_report_from_message

__all__ = [
    "DecisionRecord",
    "Evaluation",
    "RiskPolicyStatus",
    "read_decision",
    "read_evaluation",
    "read_policy_status",
]


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
class DecisionRecord:
    """One row of the audit trail.

    Attributes:
        sequence: Number of the row.
        decision_id: Unique.
        decided_at: The service's clock, seconds since the epoch.
        account: The account.
        kind: Evaluate or resume.
        action: What the caller was told to do; ALLOW for a resume.
        request_id: The caller's own name for the request.
        now: The caller's clock; None when it was missing or not finite.
        inputs_digest: Digest of the inputs and the intended order.
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
        previous_hash: `row_hash` of the row before.
        row_hash: Over this row and `previous_hash`.
    """

    sequence: int
    decision_id: str
    decided_at: float
    account: str
    kind: DecisionKind
    action: Action
    request_id: str
    now: float | None
    inputs_digest: str
    policy_digest: str
    overlay_digest: str
    metric_values: Mapping[str, float]
    unavailable: Mapping[str, str]
    breaches: tuple[Breach, ...]
    pre_trade: PreTradeCheck | None
    halt: Halt | None
    actor_name: str
    actor_role: str
    reason: str
    previous_hash: str
    row_hash: str


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


def read_evaluation(answer: risk_pb2.EvaluateResponse) -> Evaluation:
    """The answer to Evaluate.

    Raises:
        RpcError: A newer server gives an action or a severity that is not known here.
    """
    return Evaluation(
        action=action_from_message(answer.action),
        breaches=tuple(breach_from_message(breach) for breach in answer.breaches),
        halt=halt_from_message(answer.halt),
        report=risk_report_from_message(answer.metrics),
        pre_trade=check_from_message(answer.pre_trade) if answer.HasField("pre_trade") else None,
        decision_id=answer.decision_id,
        request_id=answer.request_id,
        overlay_digest=answer.overlay_digest,
    )


def read_decision(message: risk_pb2.Decision) -> DecisionRecord:
    """One row of the answer to ListDecisions.

    Raises:
        RpcError: It has a kind, an action or a severity that is not known here.
    """
    return DecisionRecord(
        sequence=message.sequence,
        decision_id=message.decision_id,
        decided_at=message.decided_at,
        account=message.account,
        kind=decision_kind_from_message(message.kind),
        action=action_from_message(message.action),
        request_id=message.request_id,
        now=message.now if message.HasField("now") else None,
        inputs_digest=message.inputs_digest,
        policy_digest=message.policy_digest,
        overlay_digest=message.overlay_digest,
        metric_values=dict(message.metric_values),
        unavailable=dict(message.unavailable),
        breaches=tuple(breach_from_message(breach) for breach in message.breaches),
        pre_trade=check_from_message(message.pre_trade) if message.HasField("pre_trade") else None,
        halt=halt_from_message(message.halt),
        actor_name=message.actor_name,
        actor_role=message.actor_role,
        reason=message.reason,
        previous_hash=message.previous_hash,
        row_hash=message.row_hash,
    )


def read_policy_status(answer: risk_pb2.GetRiskPolicyResponse) -> RiskPolicyStatus:
    """The answer to GetRiskPolicy."""
    return RiskPolicyStatus(
        policy_digest=answer.policy_digest,
        limits=dict(answer.limits),
        calculators=tuple(answer.calculators),
        rules=tuple(answer.rules),
        canonical_json=answer.canonical_json,
        refusal=answer.refusal,
        parts_json=answer.parts_json,
        overlay_digest=answer.overlay_digest,
        overlay_json=answer.overlay_json,
        declared=tuple(
            EnabledCalculator(each.name, each.version, each.use, dict(each.metric_units))
            for each in answer.declared
        ),
    )
