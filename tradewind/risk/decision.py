"""What every decision of the risk service is about, wherever it is read."""

from dataclasses import dataclass
from enum import StrEnum

from tradewind.risk.rules import Action

__all__ = ["DecisionKind", "Halt"]


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
