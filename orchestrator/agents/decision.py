"""What a tick came to, and each answer of a policy as the log has it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orchestrator.agents.enforcement import Intent
from orchestrator.agents.questions import PolicyAnswer
from orchestrator.agents.reasons import Reason
from orchestrator.records import Outcome, PolicyDecision, RiskAnswer, Timings
from tradewind.errors import InvalidInputError
from tradewind.market import PositionState, TradingTerms
from tradewind.risk import FloatArray
from tradewind.rpc.clients import Evaluation

__all__ = ["TickDecision", "policy_decision"]


@dataclass(slots=True)
class TickDecision:
    """What a tick came to.

    Attributes:
        outcome: In one word.
        reasons: Reason codes, most important first, each once.
        decisions: Each policy's answer.
        risk: The risk service's answer.
        evaluation: The same as it came.
        intents: Orders, refused ones too.
        inputs_digest: BLAKE2b-128 over bars and observations, hexadecimal.
        timings: Of features, Predict and Evaluate.
        unknown_versions: Policy, version and digest of answers that have to be compared.
        risk_policy_changed: The risk policy has to be compared.
        withdrawn: Symbols whose orders must not go on: positions are closed instead, or nothing is
            traded any more.
    """

    outcome: Outcome = Outcome.DECIDED
    reasons: list[Reason] = field(default_factory=list)
    decisions: list[PolicyDecision] = field(default_factory=list)
    risk: RiskAnswer | None = None
    evaluation: Evaluation | None = None
    intents: list[Intent] = field(default_factory=list)
    inputs_digest: str = ""
    timings: Timings = field(default_factory=Timings)
    unknown_versions: list[tuple[str, str, str]] = field(default_factory=list)
    risk_policy_changed: bool = False
    withdrawn: set[str] = field(default_factory=set)

    def add(self, reason: Reason) -> None:
        """Adds a reason code once."""
        if reason not in self.reasons:
            self.reasons.append(reason)


def policy_decision(
    answer: PolicyAnswer, row: int, positions: Sequence[PositionState], terms: TradingTerms
) -> tuple[PolicyDecision, FloatArray | None, Reason | None]:
    """One row of an answer, of one symbol or several.

    Args:
        answer: The answer.
        row: Its row.
        positions: What the observation says about the position in each symbol.
        terms: What the action means.

    Returns:
        The row as the log has it; the targets, NaN where a quantity is kept; and, where there are
        none, why it must not be traded on. Shape of the targets [symbols].
    """
    question, prediction, reason = answer.question, answer.prediction, answer.reason
    symbols = question.symbols[row]
    action: int | None = None
    values: tuple[float, ...] = ()
    targets: FloatArray | None = None
    if prediction is not None and row < len(prediction.actions):
        given = prediction.actions[row]
        if isinstance(given, np.ndarray):
            values = tuple(given.tolist())
        else:
            action = int(given)
        if reason is None:
            try:
                targets = terms.targets(given, len(symbols))
            except InvalidInputError:
                reason = Reason.ANSWER_UNVERIFIED
    observation: NDArray[np.float32] = question.observations[row]
    record = PolicyDecision(
        symbols=symbols,
        policy=question.policy,
        version="" if prediction is None else prediction.version,
        bundle_sha256="" if prediction is None else prediction.bundle_sha256,
        variant="" if prediction is None else prediction.variant,
        request_id=question.request_id,
        exposures=tuple(position.exposure for position in positions),
        unrealized_returns=tuple(position.unrealized_return for position in positions),
        bars_held=tuple(position.bars_held for position in positions),
        observation=observation.astype("<f4", copy=False).tobytes(),
        action=action,
        action_values=values,
        targets=_logged_targets(targets, len(symbols)),
        model_compute_ns=0 if prediction is None else prediction.model_compute_ns,
        reason="" if reason is None else reason.value,
    )
    return record, targets, reason


def _logged_targets(targets: FloatArray | None, count: int) -> tuple[float | None, ...]:
    if targets is None:
        return (None,) * count
    return tuple(None if math.isnan(target) else target for target in targets.tolist())
