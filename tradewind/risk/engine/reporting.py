"""From a kernel's numbers to a report."""

from math import isnan

import numpy as np

from tradewind.errors import RiskInputError
from tradewind.risk.engine.plan import Plan
from tradewind.risk.engine.result import AT, CODE, OTHER, RESULT_ROWS, VALUE
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import NOTES, Snapshot, describe_reason, describe_violation
from tradewind.risk.report import RiskReport

__all__ = ["build_report", "new_problem", "raise_contradiction"]


def build_report(
    plan: Plan, result: FloatArray, remark_count: int, snapshot: Snapshot
) -> RiskReport:
    """Puts a result into words.

    Args:
        plan: What was calculated.
        result: The kernel's answer. Shape [4, metrics + 2].
        remark_count: How many metrics are unavailable or have a note.
        snapshot: The inputs, to name the symbols in reasons.
    """
    values: list[float] = result[VALUE].tolist()
    mean = values.pop()
    score = values.pop()
    metric_values = dict(zip(plan.metrics, values, strict=False))
    unavailable: dict[str, str] = {}
    notes: dict[str, str] = {}
    unchecked_limits: tuple[str, ...] = ()
    if remark_count:
        score_column = len(plan.metrics)
        first, end = int(result[AT, score_column]), int(result[OTHER, score_column])
        for column, code in enumerate(result[CODE, first:end].tolist(), first):
            if code > 0.0:
                metric, at = plan.metrics[column], result.item(AT, column)
                reason = describe_reason(code, at, result.item(OTHER, column), snapshot)
                unavailable[metric] = reason
                del metric_values[metric]
            elif code < 0.0:
                notes[plan.metrics[column]] = NOTES[-int(code)]
        unchecked_limits = tuple([name for name in unavailable if name in plan.limited])
    risk_score = None if isnan(score) else score
    penalty = None if isnan(mean) else mean
    return RiskReport(
        metric_values, unavailable, risk_score, penalty, unchecked_limits, notes, plan.digest
    )


def new_problem() -> FloatArray:
    """Room for what a kernel says of a contradiction, as column 0 of a result. Shape [4, 1]."""
    return np.zeros((RESULT_ROWS, 1))


def raise_contradiction(result: FloatArray, snapshot: Snapshot) -> None:
    """Refuses inputs that contradict themselves.

    Raises:
        RiskInputError: Always; names the field that column 0 of the result is about.
    """
    code, at, other = (int(result[row, 0]) for row in (CODE, AT, OTHER))
    violation = describe_violation(code, at, other, snapshot)
    raise RiskInputError("risk inputs are refused", [violation])
