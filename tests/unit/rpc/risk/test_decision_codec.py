"""Messages of decisions that a newer risk service may send."""

from collections.abc import Callable
from typing import Any

import pytest

from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import RpcError
from tradewind.rpc.clients.risk_results import read_decision, read_evaluation

BREACH = risk_pb2.Breach(rule="r", metric="m", action=risk_pb2.ACTION_WARN, severity="warning")
DECISION = risk_pb2.Decision(kind="evaluate", action=risk_pb2.ACTION_WARN, breaches=[BREACH])
EVALUATION = risk_pb2.EvaluateResponse(action=risk_pb2.ACTION_WARN, breaches=[BREACH])


def changed(message: Any, **fields: Any) -> Any:
    """A message with its own fields changed or, by `breach_`, those of its breach."""
    copy = type(message)()
    copy.CopyFrom(message)
    for name, value in fields.items():
        owner = copy.breaches[0] if name.startswith("breach_") else copy
        setattr(owner, name.removeprefix("breach_"), value)
    return copy


@pytest.mark.parametrize(
    ("read", "message", "named"),
    [
        (read_decision, changed(DECISION, kind="amend"), "kind 'amend'"),
        (read_decision, changed(DECISION, action=77), "action 77"),
        (read_decision, changed(DECISION, breach_severity="fatal"), "severity 'fatal'"),
        (read_evaluation, changed(EVALUATION, breach_severity="fatal"), "severity 'fatal'"),
        (read_evaluation, changed(EVALUATION, breach_action=77), "action 77"),
    ],
)
def test_answer_with_a_value_of_a_newer_service_is_an_rpc_error(
    read: Callable[[Any], object], message: Any, named: str
) -> None:
    with pytest.raises(RpcError, match=named):
        read(message)


def test_answer_with_known_values_is_read() -> None:
    assert read_decision(DECISION).breaches == read_evaluation(EVALUATION).breaches
