"""A risk policy turned into the arrays its kernels read."""

from typing import Any, Final, Literal, get_args, get_origin

import numpy as np
from pydantic.fields import FieldInfo

from tradewind.risk.calculators import CALCULATORS
from tradewind.risk.engine.state import CODE, NOTE, RESULT_EXTRA, RESULT_ROWS
from tradewind.risk.inputs import FloatArray
from tradewind.risk.policy import RiskPolicy
from tradewind.risk.reasons import FIELD_SPAN, NOT_CALCULATED, NOTES, describe_reason
from tradewind.risk.report import RiskReport

__all__ = ["Plan"]

SERIES: Final = ("timestamps", "drawdowns", "returns")
DISABLED: Final = -1
_KINDS: Final = {int: "i8", float: "f8"}


def _config_fields() -> list[tuple[str, str]]:
    """One field for each window, each calculator (its first metric) and each of its settings."""
    fields = [(f"{series}_window", "i8") for series in SERIES]
    for calculator in CALCULATORS:
        fields.append((calculator.name, "i8"))
        for name, info in calculator.settings.model_fields.items():
            if name != "enabled" and (kind := _kind(info)):
                fields.append((f"{calculator.name}_{name}", kind))
    return fields


def _kind(info: FieldInfo) -> str | None:
    if get_origin(info.annotation) is Literal:
        return "i8"
    return _KINDS.get(info.annotation) if isinstance(info.annotation, type) else None


CONFIG: Final = np.dtype(_config_fields(), align=True)


class Plan:
    """A policy as its kernels read it, and the way back from their results to words.

    Attributes:
        policy: The policy.
        digest: Its digest.
        metrics: Names of the metrics, in the order of the result's columns.
        config: One record of settings. Shape [1].
        limits: Limit of each metric (NaN: none), and its weight. Shape [2, metrics].
    """

    def __init__(self, policy: RiskPolicy) -> None:
        self.policy = policy
        self.digest = policy.digest()
        self.metrics = policy.metrics()
        self.config = _config(policy)
        self.limits = np.full((2, len(self.metrics)), np.nan)
        for column, metric in enumerate(self.metrics):
            if metric in policy.limits:
                limit = policy.limits[metric]
                self.limits[:, column] = limit.limit, limit.weight
        self._limited = frozenset(policy.limits)
        template = np.full((RESULT_ROWS, len(self.metrics) + RESULT_EXTRA), np.nan)
        template[CODE] = NOT_CALCULATED * FIELD_SPAN
        template[CODE + 1 :] = 0.0
        self.new_result = template.copy

    def report(self, result: FloatArray, unavailable_count: int) -> RiskReport:
        """Turns a kernel's result into a report."""
        values: list[float] = result[0].tolist()
        penalty = values.pop()
        risk_score = values.pop()
        metric_values = dict(zip(self.metrics, values, strict=True))
        unavailable: dict[str, str] = {}
        notes: dict[str, str] = {}
        unchecked: tuple[str, ...] = ()
        if unavailable_count:
            rows = result[CODE:NOTE].T.astype(np.int64).tolist()
            for metric, (code, actual, needed) in zip(self.metrics, rows, strict=False):
                if code:
                    del metric_values[metric]
                    unavailable[metric] = describe_reason(code, actual, needed)
            unchecked = tuple(metric for metric in unavailable if metric in self._limited)
        if result[NOTE].any():
            for metric, note in zip(self.metrics, result[NOTE].tolist(), strict=False):
                if note:
                    notes[metric] = NOTES[int(note)]
        return RiskReport(
            metric_values=metric_values,
            unavailable=unavailable,
            risk_score=None if risk_score != risk_score else risk_score,
            penalty=None if penalty != penalty else penalty,
            unchecked_limits=unchecked,
            notes=notes,
            policy_digest=self.digest,
        )


def _config(policy: RiskPolicy) -> np.ndarray[Any, Any]:
    config = np.zeros(1, dtype=CONFIG)
    column = 0
    for calculator in CALCULATORS:
        settings = policy.calculators.of(calculator.name)
        config[calculator.name] = column if settings.enabled else DISABLED
        if not settings.enabled:
            continue
        column += len(calculator.metrics(settings))
        for series, bars in calculator.windows(settings).items():
            window = config[f"{series}_window"]
            window[0] = max(window[0], bars)
        for name, info in calculator.settings.model_fields.items():
            field = f"{calculator.name}_{name}"
            if _kind(info) and name != "enabled":
                config[field] = _number(getattr(settings, name), info)
    return config


def _number(value: Any, info: FieldInfo) -> Any:
    if get_origin(info.annotation) is Literal:
        return get_args(info.annotation).index(value)
    return value
