"""Metrics in answers, written without building a message for each."""

import struct
from collections.abc import Callable, Hashable, Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

from tradewind.api.risk.v1 import risk_pb2
from tradewind.risk.engine.reporting import Calculation
from tradewind.risk.report import RiskReport
from tradewind.rpc.risk.risk_codec import risk_report_to_message
from tradewind.rpc.risk.wire import write_head

__all__ = ["AnswerWriter"]

_Key: TypeAlias = tuple[Hashable, ...]

_MOST_SHAPES: Final = 256
_DOUBLE: Final = 8


class AnswerWriter:
    """Writes CalculateOnlyResponses; what is around their numbers is kept from one to the next.

    Accounts that lack the same things get answers that differ in nothing but their numbers. Safe to
    share between threads.
    """

    def __init__(self) -> None:
        # By what an answer has around its numbers; None for what was seen once.
        self._shapes: dict[_Key, _Shape | None] = {}
        self._named: set[_Key] = set()

    def write(self, calculation: Calculation, *, compute_ns: int, request_id: str) -> bytes:
        """The serialized CalculateOnlyResponse."""
        shape = self._find(calculation)
        if shape is None:
            report = calculation.report()
            message = risk_report_to_message(report, compute_ns=compute_ns, request_id=request_id)
            return message.SerializeToString()
        tail = risk_pb2.CalculateOnlyResponse(compute_ns=compute_ns, request_id=request_id)
        return shape.write(calculation.values()) + tail.SerializeToString()

    def write_nested(
        self, calculation: Calculation, *, compute_ns: int, request_id: str, field: int
    ) -> bytes:
        """The serialized CalculateOnlyResponse as the field of a message, of that number."""
        answer = self.write(calculation, compute_ns=compute_ns, request_id=request_id)
        return write_head(field, len(answer)) + answer

    def _find(self, calculation: Calculation) -> "_Shape | None":
        codes: _Key = (calculation.plan.digest, calculation.codes())
        key = (*codes, calculation.names()) if codes in self._named else codes
        if key not in self._shapes:
            # Not worth a shape yet: an account that grows may lack one bar less each time.
            self._note(codes, calculation)
            return None
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = _Shape(calculation.plan.metrics, calculation.report())
        return shape

    def _note(self, codes: "_Key", calculation: Calculation) -> None:
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
            self._named.clear()
        if calculation.has_named():
            self._named.add(codes)
            self._shapes[*codes, calculation.names()] = None
        else:
            self._shapes[codes] = None


class _Shape:
    """An answer without its numbers: bytes, a number, bytes, a number, and the remaining bytes."""

    def __init__(self, metrics: Sequence[str], report: RiskReport) -> None:
        response = risk_pb2.CalculateOnlyResponse
        columns, messages = [], []
        for column, metric in enumerate(metrics):
            if metric in report.metric_values:
                columns.append(column)
                messages.append(response(metric_values={metric: 0.0}))
        if report.risk_score is not None:
            columns.append(len(metrics))
            messages.append(response(risk_score=0.0))
        if report.penalty is not None:
            columns.append(len(metrics) + 1)
            messages.append(response(penalty=0.0))
        # A message with one number ends with that number.
        heads = [message.SerializeToString()[:-_DOUBLE] for message in messages]
        rest = response(
            unavailable=report.unavailable,
            policy_digest=report.policy_digest,
            unchecked_limits=report.unchecked_limits,
            notes=report.notes,
        ).SerializeToString()
        self._pack = struct.Struct(
            "<" + "".join(f"{len(head)}sd" for head in heads) + f"{len(rest)}s"
        ).pack
        self._parts: list[Any] = [part for head in heads for part in (head, 0.0)] + [rest]
        self._pick = _picker(columns)

    def write(self, values: list[float]) -> bytes:
        parts = self._parts.copy()
        parts[1::2] = self._pick(values)
        return self._pack(*parts)


def _picker(columns: list[int]) -> Callable[[list[float]], Sequence[float]]:
    """What takes these elements, however many they are, out of a list."""
    if len(columns) < 2:
        return lambda values: [values[column] for column in columns]
    return itemgetter(*columns)
