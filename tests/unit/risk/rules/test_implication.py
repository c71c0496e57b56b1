"""What one condition says of another, against every reading of them."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.risk.rules.condition_forms import conditions
from tradewind.risk.rules import ConditionSettings, Readings
from tradewind.risk.rules.conditions import Condition, compile_condition
from tradewind.risk.rules.implication import implies

METRICS = ("a", "b")
VALUES = (0.5, 1.5, 2.5, 3.5, None)  # between and beside the limits; None: unavailable


threshold = st.builds(
    lambda metric, over: {"metric": metric, "over": over},
    st.sampled_from(METRICS),
    st.sampled_from([1.0, 2.0, 3.0]),
)
condition = conditions(threshold, max_leaves=4)


def build(form: dict[str, Any]) -> Condition:
    return compile_condition(ConditionSettings.model_validate(form), {})


def all_readings() -> list[Readings]:
    return [
        Readings(
            {name: value for name, value in zip(METRICS, values, strict=True) if value is not None},
            not_applicable=absent,
        )
        for values in itertools.product(VALUES, repeat=len(METRICS))
        for absent in (frozenset[str](), frozenset("a"), frozenset("b"))
    ]


READINGS = all_readings()


@given(condition, condition)
def test_implication_that_is_found_holds_for_every_reading(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    one, other = build(first), build(second)
    if implies(one, other):
        assert all(one.truth(reading) <= other.truth(reading) for reading in READINGS)


@given(condition)
def test_every_condition_implies_itself_and_its_double_negation(form: dict[str, Any]) -> None:
    twice = build({"not": {"not": form}})
    assert implies(build(form), build(form))
    assert implies(build(form), twice)
    assert implies(twice, build(form))


def over(metric: str, limit: float) -> dict[str, Any]:
    return {"metric": metric, "over": limit}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (over("a", 2.0), over("a", 1.0), True),
        (over("a", 1.0), over("a", 2.0), False),
        (over("a", 1.0), over("b", 1.0), False),
        ({"not": over("a", 1.0)}, {"not": over("a", 2.0)}, True),
        ({"not": over("a", 2.0)}, {"not": over("a", 1.0)}, False),
        ({"all": [over("a", 1.0), over("b", 1.0)]}, over("a", 1.0), True),
        (over("a", 1.0), {"all": [over("a", 1.0), over("b", 1.0)]}, False),
        (over("a", 1.0), {"any": [over("b", 1.0), over("a", 1.0)]}, True),
        ({"any": [over("b", 1.0), over("a", 1.0)]}, over("a", 1.0), False),
        (
            {"any": [over("a", 2.0), over("b", 2.0)]},
            {"not": {"all": [{"not": over("b", 1.0)}, {"not": over("a", 1.0)}]}},
            True,
        ),
    ],
)
def test_implication_with_known_conditions(
    first: dict[str, Any], second: dict[str, Any], expected: bool
) -> None:
    assert implies(build(first), build(second)) is expected


def test_implication_with_deep_conditions_ends() -> None:
    form, other = over("a", 1.0), over("b", 1.0)
    for _ in range(30):
        form, other = {"all": [over("a", 2.0), form]}, {"any": [other, over("b", 2.0)]}
    deep, wide = build(form), build(other)
    assert not implies(deep, wide)
