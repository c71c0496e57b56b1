"""From a kernel's numbers to a report."""

from collections.abc import Callable, Hashable
from math import isnan
from typing import NamedTuple

import numpy as np

from tradewind.errors import RiskInputError
from tradewind.risk.engine.plan import Plan
from tradewind.risk.engine.remarks import NO_REMARKS
from tradewind.risk.engine.result import AT, CODE, RESULT_ROWS, VALUE
from tradewind.risk.inputs import FloatArray, RiskInputs
from tradewind.risk.reasons import (
    describe_violation,
    names_an_element,
)
from tradewind.risk.report import RiskReport

__all__ = ["Calculation", "build_report", "new_problem", "raise_contradiction"]


class Calculation(NamedTuple):
    """What was calculated, in numbers; in words when `report` is called.

    Attributes:
        plan: What was calculated.
        result: The kernel's answer. Shape [4, metrics + 2].
        remark_count: How many metrics are unavailable or have a note.
        snapshot: Gives the inputs, to name what reasons are about.
        names: Gives all that reasons may call by name.
        said: Reasons that calculators from outside gave.
    """

    plan: Plan
    result: FloatArray
    remark_count: int
    snapshot: Callable[[], RiskInputs]
    names: Callable[[], Hashable]
    said: tuple[str, ...] = ()

    def report(self) -> RiskReport:
        """The calculation in words."""
        return build_report(self.plan, self.result, self.remark_count, self.snapshot(), self.said)

    def values(self) -> list[float]:
        """Value of each metric, risk_score and penalty; NaN where there is none."""
        values: list[float] = self.result[VALUE].tolist()
        return values

    def codes(self) -> Hashable:
        """What is available and what is not, and why.

        Calculations of one plan with equal codes, and with equal names if `has_named`, differ in
        their values only.
        """
        codes = self.result[CODE:].tobytes() if self.remark_count else b""
        return (codes, self.said) if self.said else codes

    def has_named(self) -> bool:
        """Whether a reason calls an element of the inputs by name."""
        codes, positions = self.result[CODE].tolist(), self.result[AT].tolist()
        return any(
            code > 0.0 and names_an_element(code, at)
            for code, at in zip(codes, positions, strict=True)
        )


def build_report(
    plan: Plan,
    result: FloatArray,
    remark_count: int,
    snapshot: RiskInputs,
    said: tuple[str, ...] = (),
) -> RiskReport:
    """Puts a result into words.

    Args:
        plan: What was calculated.
        result: The kernel's answer. Shape [4, metrics + 2].
        remark_count: How many metrics are unavailable or have a note.
        snapshot: The inputs, to name the symbols in reasons.
        said: Reasons that calculators from outside gave.
    """
    values: list[float] = result[VALUE].tolist()
    mean = values.pop()
    score = values.pop()
    metric_values = plan.blank_metrics.copy()  # has the room already
    metric_values.update(zip(plan.metrics, values))  # noqa: B905  as many as each other
    remarks = plan.remarks.describe(result, snapshot, said) if remark_count else NO_REMARKS
    for metric in remarks.unavailable:
        del metric_values[metric]
    return RiskReport(
        metric_values,
        remarks.unavailable.copy(),
        None if isnan(score) else score,
        None if isnan(mean) else mean,
        remarks.unchecked_limits,
        remarks.notes.copy(),
        plan.digest,
    )


def new_problem() -> FloatArray:
    """Room for what a kernel says of a contradiction, as column 0 of a result. Shape [4, 1]."""
    return np.zeros((RESULT_ROWS, 1))


def raise_contradiction(result: FloatArray) -> None:
    """Refuses inputs that contradict themselves.

    Raises:
        RiskInputError: Always; names the field that column 0 of the result is about.
    """
    violation = describe_violation(int(result[CODE, 0]), int(result[AT, 0]))
    raise RiskInputError("risk inputs are refused", [violation])
