"""A stack under load that a test breaks, and what must hold after any fault."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from risk_service.verify import main as verify
from tests.faults.load import KINDS, Load
from tests.faults.stack import Stack
from tradewind.rpc.clients import RiskClient

__all__ = ["Outcome", "Scenario"]

# The promise: serving again this long after a fault has ended. A slower machine may say otherwise.
RECOVERY_LIMIT_S = float(os.environ.get("TRADEWIND_RECOVERY_LIMIT_S", "5"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fault did: a row of the table at the end."""

    fault: str
    answered: int
    refused: int
    recovery_s: float


class Scenario:
    """A stack under load that a test breaks; `check` says what must hold after any fault."""

    def __init__(self, stack: Stack, load: Load, outcomes: list[Outcome]) -> None:
        self.stack = stack
        self.load = load
        self._outcomes = outcomes

    @contextmanager
    def recovery(self, fault: str, kinds: Sequence[str] = KINDS) -> Iterator[None]:
        """The block ends a fault; calls have to be answered again within the limit of its start.

        Args:
            fault: What to call it in the table.
            kinds: The calls that the fault stopped.
        """
        began = time.monotonic()
        yield
        recovery_s = self.load.recovery_s(began, kinds)
        load = self.load
        self._outcomes.append(
            Outcome(fault, load.answered.total(), load.refused.total(), recovery_s)
        )
        assert recovery_s <= RECOVERY_LIMIT_S, f"{fault}: serving again after {recovery_s:.1f} s"

    def check(self) -> None:
        """No wrong answer, no lost decision, no halt forgotten, and a trail that is whole."""
        load = self.load
        load.stop()
        assert load.wrong == []
        assert load.halted
        with RiskClient(self.stack.addresses["risk_service"], timeout_s=20.0) as risk:
            recorded = [record.decision_id for record in risk.list_decisions()]
        assert len(set(recorded)) == len(recorded)
        assert set(load.decisions) <= set(recorded)
        assert verify(["--database", self.stack.database]) == 0
