"""What a tick came to, and each answer of a policy as the log has it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orchestrator.agents.enforcement import Intent
from orchestrator.agents.questions import PolicyAnswer
from orchestrator.agents.reasons import Reason
from orchestrator.decision_log.records import Outcome, PolicyDecision, RiskAnswer, Timings
from tradewind.errors import InvalidInputError
from tradewind.market import PositionState, TradingTerms

__all__ = ["Decision", "policy_decision"]


@dataclass(slots=True)
class Decision:
    """What a tick came to.

    Attributes:
        outcome: In one word.
        reasons: Reason codes, most important first, each once.
        decisions: Each policy's answer.
        risk: The risk service's answer.
        intents: Orders, refused ones too.
        inputs_digest: BLAKE2b-128 over bars and observations, hexadecimal.
        timings: Of features, Predict and Evaluate.
        unknown_versions: Policy, version and digest of answers that have to be compared.
        risk_policy_changed: The risk policy has to be compared.
    """

    outcome: Outcome = Outcome.DECIDED
    reasons: list[Reason] = field(default_factory=list)
    decisions: list[PolicyDecision] = field(default_factory=list)
    risk: RiskAnswer | None = None
    intents: list[Intent] = field(default_factory=list)
    inputs_digest: str = ""
    timings: Timings = field(default_factory=Timings)
    unknown_versions: list[tuple[str, str, str]] = field(default_factory=list)
    risk_policy_changed: bool = False

    def add(self, reason: Reason) -> None:
        """Adds a reason code once."""
        if reason not in self.reasons:
            self.reasons.append(reason)


def policy_decision(
    answer: PolicyAnswer, row: int, position: PositionState, terms: TradingTerms
) -> tuple[PolicyDecision, Reason | None]:
    """One row of an answer as the log has it, and why it must not be traded on."""
    question, prediction, reason = answer.question, answer.prediction, answer.reason
    action: int | None = None
    values: tuple[float, ...] = ()
    target: float | None = None
    if prediction is not None and row < len(prediction.actions):
        given = prediction.actions[row]
        if isinstance(given, np.ndarray):
            values = tuple(given.tolist())
        else:
            action = int(given)
        if reason is None:
            try:
                target = terms.target(given)
            except InvalidInputError:
                reason = Reason.ANSWER_UNVERIFIED
    observation: NDArray[np.float32] = question.observations[row]
    record = PolicyDecision(
        symbols=(question.symbols[row],),
        policy=question.policy,
        version="" if prediction is None else prediction.version,
        bundle_sha256="" if prediction is None else prediction.bundle_sha256,
        variant="" if prediction is None else prediction.variant,
        request_id=question.request_id,
        exposures=(position.exposure,),
        unrealized_returns=(position.unrealized_return,),
        bars_held=(position.bars_held,),
        observation=observation.astype("<f4", copy=False).tobytes(),
        action=action,
        action_values=values,
        targets=(target,),
        model_compute_ns=0 if prediction is None else prediction.model_compute_ns,
        reason="" if reason is None else reason.value,
    )
    return record, reason
