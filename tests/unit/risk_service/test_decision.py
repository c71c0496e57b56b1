"""The canonical form of a decision, and the digest of what it looked at."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk_service.audit.decision import JournaledDecision
from risk_service.digest import inputs_digest
from tradewind.errors import StorageError
from tradewind.risk import OptionPosition, OrderBook, Position, RiskInputs
from tradewind.risk.decision import DecisionKind, Halt
from tradewind.risk.pretrade import IntendedOrder, PreTradeCheck
from tradewind.risk.rules import Action, Breach, Severity, WindowState

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=8)
actions = st.sampled_from(Action)
breaches = st.builds(
    Breach,
    rule=names,
    metric=names,
    value=st.none() | finite,
    limit=finite,
    headroom=st.none() | finite,
    action=actions,
    severity=st.sampled_from(Severity),
    shadow=st.booleans(),
    reason=names,
)
checks = st.builds(
    PreTradeCheck,
    symbol=names,
    position_after=st.none() | finite,
    reduces_only=st.booleans(),
    values=st.dictionaries(names, finite, max_size=3),
    unavailable=st.dictionaries(names, names, max_size=3),
    allowed_quantity=st.none() | finite,
    binding_limit=names,
)
windows = st.builds(
    WindowState,
    evaluation_count=st.integers(0, 100),
    certain=st.lists(finite, max_size=3).map(tuple),
    possible=st.lists(st.none() | finite, max_size=3).map(tuple),
)
decisions = st.builds(
    JournaledDecision,
    decision_id=names,
    decided_at=finite,
    account=names,
    kind=st.sampled_from(DecisionKind),
    action=actions,
    request_id=names,
    now=st.none() | finite,
    metric_values=st.dictionaries(names, finite, max_size=3),
    unavailable=st.dictionaries(names, names, max_size=3),
    breaches=st.lists(breaches, max_size=2).map(tuple),
    pre_trade=st.none() | checks,
    halt=st.none()
    | st.builds(Halt, action=actions, since=finite, rule=names, reason=names, decision_id=names),
    windows=st.dictionaries(names, windows, max_size=2),
    reason=names,
)


@given(decisions)
def test_canonical_form_with_any_decision_reads_back_equal(decision: JournaledDecision) -> None:
    text = decision.to_json()
    assert JournaledDecision.from_json(text) == decision
    assert JournaledDecision.from_json(text).to_json() == text
    assert text.isascii()
    assert "\n" not in text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"decision_id": "x"}', "null", "3"])
def test_canonical_form_with_something_else_is_refused(text: str) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        JournaledDecision.from_json(text)


def everything() -> dict[str, Any]:
    series = np.array([1.0, 2.0])
    return {
        "portfolio_values": series,
        "timestamps": series,
        "start_of_day_value": 1.0,
        "returns": series,
        "trade_timestamps": series,
        "trade_notionals": series,
        "capital_base": 5.0,
        "positions": (Position("BTC", 1, 2.0),),
        "price_changes": series,
        "order_flows": series,
        "order_books": {"BTC": OrderBook(series[::-1].copy(), series, series + 2, series)},
        "feed_timestamps": {"a": 1.0, "b": 2.0},
        "now": 3.0,
        "order_latencies_us": series,
        "average_daily_volumes": {"BTC": 4.0},
        "options": (OptionPosition("BTC", "call", 1.0, 1.0, 2.0, 3.0, 0.5, 0.2),),
        "periods_per_year": 252.0,
    }


def test_digest_with_inputs_of_a_recorded_decision_is_the_recorded_one() -> None:
    values = everything()
    del values["periods_per_year"]  # which came later
    digest = inputs_digest(RiskInputs(**values), IntendedOrder("BTC", 1.0, 2.0))
    assert digest == "96e1e8f42aa26d5da57eafd5b01ca63492ad71ae1242b8e8ea1285b0943bd16f"


def test_digest_with_equal_inputs_in_another_order_is_equal() -> None:
    other = everything()
    other["feed_timestamps"] = {"b": 2.0, "a": 1.0}
    other["positions"] = (Position("BTC", 1.0, 2.0),)
    assert inputs_digest(RiskInputs(**everything()), None) == inputs_digest(
        RiskInputs(**other), None
    )


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(RiskInputs)])
def test_digest_with_any_field_left_out_differs(name: str) -> None:
    values = everything()
    del values[name]
    for pair in ({"trade_timestamps", "trade_notionals"}, {"price_changes", "order_flows"}):
        if name in pair:
            values = {key: value for key, value in values.items() if key not in pair}
    if name == "portfolio_values":
        del values["timestamps"]
    assert inputs_digest(RiskInputs(**values), None) != inputs_digest(
        RiskInputs(**everything()), None
    )


def test_digest_with_the_smallest_change_of_a_value_differs() -> None:
    values = everything()
    values["portfolio_values"] = np.array([1.0, math.nextafter(2.0, 3.0)])
    assert inputs_digest(RiskInputs(**values), None) != inputs_digest(
        RiskInputs(**everything()), None
    )


def test_digest_with_another_order_differs() -> None:
    inputs = RiskInputs(**everything())
    digests = {
        inputs_digest(inputs, order)
        for order in (None, IntendedOrder("BTC", 1.0, 2.0), IntendedOrder("BTC", -1.0, 2.0))
    }
    assert len(digests) == 3
