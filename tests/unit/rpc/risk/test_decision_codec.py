"""Messages of decisions: of this release, and what a newer risk service may send."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import RpcError
from tradewind.risk.decision import DecisionKind, DecisionRecord, Halt
from tradewind.risk.pretrade import PRE_TRADE_METRICS, PreTradeCheck
from tradewind.risk.rules import Action, Breach
from tradewind.rpc.risk.decision_codec import DECISION as CODEC
from tradewind.rpc.risk.decision_codec import read_evaluation

names = st.text(max_size=8)
finite = st.floats(allow_nan=False, allow_infinity=False)
breaches = st.builds(
    Breach,
    value=st.none() | finite,
    limit=finite,
    headroom=st.none() | finite,
    action=st.sampled_from(Action),
)
halts = st.builds(Halt, action=st.sampled_from([Action.HALT, Action.LIQUIDATE]), since=finite)
checks = st.builds(
    PreTradeCheck,
    position_after=st.none() | finite,
    values=st.dictionaries(st.sampled_from(sorted(PRE_TRADE_METRICS)), finite),
    unavailable=st.dictionaries(names, names, max_size=2),
    allowed_quantity=st.none() | finite,
)

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
        (CODEC.read, changed(DECISION, kind="amend"), "kind 'amend'"),
        (CODEC.read, changed(DECISION, action=77), "action 77"),
        (CODEC.read, changed(DECISION, breach_severity="fatal"), "severity 'fatal'"),
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
    assert CODEC.read(DECISION).breaches == read_evaluation(EVALUATION).breaches


@given(
    st.builds(
        DecisionRecord,
        decided_at=finite,
        action=st.sampled_from(Action),
        now=st.none() | finite,
        metric_values=st.dictionaries(names, finite, max_size=2),
        unavailable=st.dictionaries(names, names, max_size=2),
        breaches=st.lists(breaches, max_size=2).map(tuple),
        pre_trade=st.none() | checks,
        halt=st.none() | halts,
        sequence=st.integers(1, 2**63 - 1),
    )
)
def test_message_of_a_decision_reads_back_equal(record: DecisionRecord) -> None:
    wire = CODEC.write(record).SerializeToString()
    assert CODEC.read(risk_pb2.Decision.FromString(wire)) == record


def test_message_of_an_account_that_is_not_halted_has_a_halt_state_that_says_so() -> None:
    record = DecisionRecord("one", 1.0, "account", DecisionKind.EVALUATE, Action.ALLOW)
    assert CODEC.write(record).HasField("halt")
