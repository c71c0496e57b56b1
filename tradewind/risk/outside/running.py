"""Calling calculators from outside after the kernel, whatever they do."""

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tradewind.process.stopwatch import stopwatch_ns
from tradewind.risk.engine.kernel import score
from tradewind.risk.engine.result import CODE, VALUE, refuse
from tradewind.risk.inputs import FloatArray
from tradewind.risk.outside.entry import LoadedCalculator, OutsideCalculator
from tradewind.risk.outside.inputs import Account, lacks_needs, view_of
from tradewind.risk.outside.trial import in_words, read_answer
from tradewind.risk.reasons import FIELD_SPAN, SAID

__all__ = ["CalculatorCost", "OutsideRunner"]

_LOG = logging.getLogger(__name__)

SLOW_IN_A_ROW: Final = 10
"""Calls over the budget after which a calculator is not called any more."""
_NOT_HERE: Final = (
    "it is calculated by {use}, which is not imported for a policy that was read from a message, a "
    "log or a store: name the policy file itself"
)


@dataclass
class CalculatorCost:
    """What a calculator from outside has cost since its policy was loaded.

    Attributes:
        measured_s: Time of a call, measured when it was loaded.
        calls: How often it was called.
        seconds: How long that took, in all.
        slow: Calls that took longer than the budget.
        failures: Calls that gave no answer: it raised, or gave something else.
    """

    measured_s: float
    calls: int = 0
    seconds: float = 0.0
    slow: int = 0
    failures: int = 0


class OutsideRunner:
    """Calls the calculators of a policy that are from outside, one after the other.

    Safe to share between threads, of which one at a time calls them.

    Args:
        calculators: By name, in the order of the reports.
        first: Column of the first metric.
        limits: Limits and weights of all metrics. Shape [2, metrics].
    """

    def __init__(
        self, calculators: Mapping[str, OutsideCalculator], first: int, limits: FloatArray
    ) -> None:
        self._limits = limits
        self._lock = threading.RLock()
        self._each: list[_Each] = []
        for name, entry in calculators.items():
            self._each.append(_Each(name, entry, first))
            first += len(entry.metrics)

    def costs(self) -> Iterator[tuple[str, CalculatorCost]]:
        """Each calculator and what it has cost."""
        return ((each.name, each.cost) for each in self._each if each.loaded is not None)

    def run(self, account: Account, result: FloatArray) -> tuple[int, tuple[str, ...]]:
        """Completes a result of the kernel.

        Args:
            account: The account.
            result: The kernel's answer. Shape [4, metrics + 2].

        Returns:
            How many metrics are unavailable or have a note, and the reasons that calculators gave
            in their own words: where the code of a metric is SAID, `at` says which.
        """
        said: list[str] = []
        with self._lock:
            for each in self._each:
                each.run(account, result, said)
        return score(self._limits, result), tuple(said)


class _Each:
    """One calculator, and what has come of calling it."""

    def __init__(self, name: str, entry: OutsideCalculator, first: int) -> None:
        self.name = name
        self.loaded: LoadedCalculator | None = entry.loaded
        self.cost = CalculatorCost(0.0 if self.loaded is None else self.loaded.cost_us * 1e-6)
        self._metrics = entry.metrics
        self._first = first
        self._budget_us = entry.budget_us
        self._in_a_row = 0
        self._stopped = "" if self.loaded is not None else _NOT_HERE.format(use=entry.use)
        self._warned = False

    def run(self, account: Account, result: FloatArray, said: list[str]) -> None:
        if self.loaded is None or self._stopped:
            self._write(result, said, [self._stopped] * len(self._metrics))
        elif not lacks_needs(account, self.loaded.declared, result, self._first):
            self._write(result, said, self._call(self.loaded, account))

    def _call(self, loaded: LoadedCalculator, account: Account) -> list[float | str]:
        view = view_of(account, loaded.declared)
        started = stopwatch_ns()
        answers: list[float | str]
        try:
            answer = loaded.calculator.calculate(loaded.settings, view)
            answers = read_answer(answer, self._metrics)
        except BaseException as no:  # it is someone's own code
            why = f"{self.name} {in_words(no)}"
            answers = [why] * len(self._metrics)
            self.cost.failures += 1
            if not self._warned:
                self._warned = True
                _LOG.warning("%s: its metrics are unavailable", why)
        self._count((stopwatch_ns() - started) * 1e-9)
        return answers

    def _count(self, seconds: float) -> None:
        self.cost.calls += 1
        self.cost.seconds += seconds
        if seconds * 1e6 <= self._budget_us:
            self._in_a_row = 0
            return
        self.cost.slow += 1
        self._in_a_row += 1
        if self._in_a_row == SLOW_IN_A_ROW:
            self._stopped = (
                f"{self.name} took longer than its budget of {self._budget_us:,.0f} µs "
                f"{SLOW_IN_A_ROW} times in a row, and is not called until the policy is loaded anew"
            )
            _LOG.error("%s", self._stopped)

    def _write(self, result: FloatArray, said: list[str], answers: list[float | str]) -> None:
        for column, answer in enumerate(answers, self._first):
            if isinstance(answer, float):
                result[VALUE, column] = answer
                result[CODE:, column] = 0.0
                continue
            if not said or said[-1] != answer:
                said.append(answer)
            refuse(result, column, 1, SAID * FIELD_SPAN, len(said) - 1, 0)
