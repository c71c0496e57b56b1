"""The logic of conditions, judged against every possible world of what is missing."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.risk.rules.condition_forms import conditions
from tradewind.errors import SettingsError
from tradewind.risk.rules import ConditionSettings, Readings
from tradewind.risk.rules.conditions import Condition, compile_condition
from tradewind.risk.rules.truth import Truth
from tradewind.settings import parse_settings

METRICS = ("a", "b", "c")
LOW, HIGH = 0.0, 2.0  # on either side of every threshold below

threshold = st.sampled_from(METRICS).map(lambda metric: {"metric": metric, "over": 1.0})
condition = conditions(threshold, max_leaves=6)
known = st.dictionaries(st.sampled_from(METRICS), st.sampled_from([LOW, HIGH]))


def build(values: dict[str, Any]) -> Condition:
    return compile_condition(parse_settings(values, ConditionSettings), {})


def worlds(values: dict[str, float]) -> list[dict[str, float]]:
    missing = [metric for metric in METRICS if metric not in values]
    return [
        {**values, **dict(zip(missing, guess, strict=True))}
        for guess in itertools.product([LOW, HIGH], repeat=len(missing))
    ]


@given(condition, known)
def test_truth_with_missing_metrics_never_misses_a_world_in_which_it_holds(
    form: dict[str, Any], values: dict[str, float]
) -> None:
    built = build(form)
    possible = {built.truth(Readings(world)) for world in worlds(values)}
    assert possible <= {Truth.TRUE, Truth.FALSE}
    found = built.truth(Readings(values))
    if Truth.TRUE in possible:
        assert found.triggers
    if found is Truth.TRUE:
        assert possible == {Truth.TRUE}
    if found is Truth.FALSE:
        assert possible == {Truth.FALSE}


@given(condition, known)
def test_findings_with_a_condition_that_may_hold_name_a_threshold(
    form: dict[str, Any], values: dict[str, float]
) -> None:
    built, readings = build(form), Readings(values)
    findings = list(built.findings(readings))
    assert bool(findings) == built.truth(readings).triggers
    for finding in findings:
        assert (finding.value is None) == (finding.threshold.metric not in values)


@given(condition)
def test_truth_with_nothing_applicable_is_not_applicable(form: dict[str, Any]) -> None:
    readings = Readings({}, not_applicable=frozenset(METRICS))
    assert build(form).truth(readings) is Truth.NOT_APPLICABLE


readings_with_orders = st.tuples(known, st.frozensets(st.sampled_from(METRICS))).map(
    lambda drawn: Readings(drawn[0], not_applicable=drawn[1])
)


@given(st.lists(condition, min_size=1, max_size=3), readings_with_orders, st.booleans())
def test_negation_with_conditions_on_an_order_that_is_not_there_keeps_de_morgan(
    forms: list[dict[str, Any]], readings: Readings, needs_all: bool
) -> None:
    one, other = ("all", "any") if needs_all else ("any", "all")
    outside = build({"not": {one: forms}})
    inside = build({other: [{"not": form} for form in forms]})
    assert outside.truth(readings) is inside.truth(readings)
    assert list(outside.findings(readings)) == list(inside.findings(readings))
    twice = build({"not": {"not": forms[0]}})
    assert twice.truth(readings) is build(forms[0]).truth(readings)


@pytest.mark.parametrize(
    ("form", "triggers"),
    [
        # a is of an order that is not there; b is not over its limit, c is.
        ({"not": {"all": [{"metric": "a"}, {"metric": "b"}]}}, True),
        ({"any": [{"not": {"metric": "a"}}, {"not": {"metric": "b"}}]}, True),
        ({"not": {"all": [{"metric": "a"}, {"metric": "c"}]}}, False),
        ({"not": {"any": [{"metric": "a"}, {"metric": "b"}]}}, False),
        ({"all": [{"not": {"metric": "a"}}, {"not": {"metric": "b"}}]}, False),
        ({"not": {"metric": "a"}}, False),
        ({"metric": "a"}, False),
        ({"any": [{"metric": "a"}, {"metric": "c"}]}, True),
    ],
)
def test_condition_on_an_order_that_is_not_there_holds_in_no_form(
    form: dict[str, Any], triggers: bool
) -> None:
    readings = Readings({"b": LOW, "c": HIGH}, not_applicable=frozenset("a"))
    built = compile_condition(parse_settings(form, ConditionSettings), dict.fromkeys(METRICS, 1.0))
    assert built.truth(readings).triggers is triggers


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_truth_with_a_value_that_is_not_finite_is_unknown(value: float) -> None:
    built = build({"metric": "a", "over": 1.0})
    assert built.truth(Readings({"a": value})) is Truth.UNKNOWN
    assert "not finite" in next(iter(built.findings(Readings({"a": value})))).reason


def test_truth_with_a_value_at_its_limit_is_false() -> None:
    assert build({"metric": "a", "over": 1.0}).truth(Readings({"a": 1.0})) is Truth.FALSE


def test_compile_with_a_fraction_of_the_limit_scales_the_policy_limit() -> None:
    settings = parse_settings({"metric": "a", "of_limit": 0.5}, ConditionSettings)
    (found,) = compile_condition(settings, {"a": 0.2}).thresholds()
    assert found.limit == 0.1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "found none"),
        ({"metric": "a", "not": {"metric": "b"}}, "found metric and not"),
        ({"all": []}, "at least 1"),
        ({"any": [{"metric": "a"}], "over": 1.0}, "go with metric only"),
        ({"metric": "a", "over": 1.0, "of_limit": 0.5}, "exclude each other"),
        ({"metric": "a", "over": float("nan")}, "finite"),
        ({"metric": "a", "above": 1.0}, "not permitted"),
    ],
)
def test_condition_settings_with_a_wrong_form_are_refused(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings(values, ConditionSettings)
