"""Rules: what they demand, and that nothing missing lets trading go on."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.errors import SettingsError
from tradewind.risk.rules import (
    Action,
    Readings,
    RuleEngine,
    RuleOutcome,
    RuleSettings,
    Severity,
)
from tradewind.settings import parse_settings

NOON = 1_699_963_200.0  # 2023-11-14 12:00:00 UTC
LIMITS = {"drawdown": 0.1, "leverage": 3.0}


def rule(**values: Any) -> RuleSettings:
    defaults = {"name": "rule", "when": {"metric": "drawdown"}, "action": "BLOCK"}
    return parse_settings({**defaults, **values}, RuleSettings)


def evaluate(
    *rules: RuleSettings,
    now: float | None = NOON,
    unavailable: dict[str, str] | None = None,
    **metrics: float,
) -> RuleOutcome:
    return RuleEngine(rules, LIMITS).evaluate(Readings(metrics, unavailable or {}), now, {})


def test_evaluate_with_a_metric_over_its_limit_reports_value_limit_and_headroom() -> None:
    outcome = evaluate(rule(severity="critical"), drawdown=0.15)
    (breach,) = outcome.breaches
    assert outcome.action is Action.BLOCK
    assert outcome.decisive == outcome.breaches
    assert (breach.rule, breach.metric, breach.value, breach.limit) == (
        "rule",
        "drawdown",
        0.15,
        0.1,
    )
    assert breach.headroom == 0.1 - 0.15
    assert breach.severity is Severity.CRITICAL
    assert breach.reason == "drawdown 0.15 is over 0.1"


def test_evaluate_with_a_difference_beyond_a_double_leaves_the_headroom_out() -> None:
    far = rule(when={"not": {"metric": "drawdown", "over": 1e308}})
    (breach,) = evaluate(far, drawdown=-1.7e308).breaches
    assert (breach.value, breach.headroom) == (-1.7e308, None)


def test_evaluate_with_no_rule_broken_allows() -> None:
    outcome = evaluate(rule(), drawdown=0.1)
    assert (outcome.action, outcome.breaches) == (Action.ALLOW, ())


def test_evaluate_with_several_rules_broken_demands_the_most_severe() -> None:
    outcome = evaluate(
        rule(name="warn", action="WARN"),
        rule(name="liquidate", action="LIQUIDATE"),
        rule(name="hedge", action="HEDGE"),
        drawdown=0.2,
    )
    assert outcome.action is Action.LIQUIDATE
    assert [breach.rule for breach in outcome.breaches] == ["warn", "liquidate", "hedge"]
    assert [breach.rule for breach in outcome.decisive] == ["liquidate"]


def test_evaluate_with_a_shadow_rule_records_but_does_not_enforce() -> None:
    outcome = evaluate(rule(action="HALT", shadow=True), drawdown=0.2)
    assert outcome.action is Action.ALLOW
    assert outcome.decisive == ()
    assert outcome.breaches[0].shadow


def test_evaluate_with_an_unavailable_metric_fails_closed_with_the_reason() -> None:
    outcome = evaluate(rule(), unavailable={"drawdown": "portfolio_values: none given"})
    (breach,) = outcome.breaches
    assert outcome.action is Action.BLOCK
    assert breach.value is None
    assert breach.headroom is None
    assert "portfolio_values: none given" in breach.reason


def test_evaluate_with_an_unavailable_action_demands_it_only_when_the_metric_is_missing() -> None:
    careful = rule(action="LIQUIDATE", unavailable_action="BLOCK")
    assert evaluate(careful).action is Action.BLOCK
    assert evaluate(careful, drawdown=0.2).action is Action.LIQUIDATE


def test_evaluate_with_a_negated_unavailable_metric_fails_closed() -> None:
    assert evaluate(rule(when={"not": {"metric": "drawdown"}})).action is Action.BLOCK


def test_evaluate_with_a_composite_names_the_thresholds_that_count() -> None:
    composite = rule(
        when={
            "any": [
                {"all": [{"metric": "drawdown"}, {"metric": "leverage"}]},
                {"not": {"metric": "liquidity", "over": 5.0}},
            ]
        }
    )
    outcome = evaluate(composite, drawdown=0.2, leverage=1.0, liquidity=2.0)
    assert [breach.metric for breach in outcome.breaches] == ["liquidity"]
    assert outcome.breaches[0].reason == "liquidity 2 is not over 5"


def test_evaluate_with_a_window_holds_from_the_required_count_on() -> None:
    engine = RuleEngine([rule(window={"at_least": 2, "evaluations": 3})], LIMITS)
    windows: Any = {}
    actions = []
    for drawdown in (0.2, 0.0, 0.2, 0.0, 0.0):
        outcome = engine.evaluate(Readings({"drawdown": drawdown}), NOON, windows)
        windows = outcome.windows
        actions.append(outcome.action)
    allow, block = Action.ALLOW, Action.BLOCK
    assert actions == [allow, allow, block, allow, allow]


def test_evaluate_with_an_edited_rule_starts_an_empty_window() -> None:
    window = {"at_least": 2, "evaluations": 3}
    before = RuleEngine([rule(window=window)], LIMITS)
    windows = before.evaluate(Readings({"drawdown": 0.2}), NOON, {}).windows
    after = RuleEngine([rule(window=window)], {"drawdown": 0.15})
    assert after.evaluate(Readings({"drawdown": 0.2}), NOON, windows).action is Action.ALLOW
    assert before.evaluate(Readings({"drawdown": 0.2}), NOON, windows).action is Action.BLOCK


@pytest.mark.parametrize(
    ("start", "end", "time_of_day", "active"),
    [
        ("09:00", "12:00", 0, False),  # the end is excluded
        ("12:00", "13:00", 0, True),  # the start is included
        ("12:00", "13:00", 3599.999, True),
        ("22:00", "06:00", 0, False),
        ("22:00", "06:00", 10 * 3600, True),
        ("22:00", "06:00", 17 * 3600 + 3599, True),
        ("22:00", "06:00", 18 * 3600, False),
        ("11:59:59", "12:00:01", 0, True),
    ],
)
def test_evaluate_with_active_hours_enforces_only_inside_them(
    start: str, end: str, time_of_day: float, active: bool
) -> None:
    timed = rule(active_utc={"start": start, "end": end})
    outcome = evaluate(timed, now=NOON + time_of_day, drawdown=0.2)
    assert (outcome.action is Action.BLOCK) == active


@pytest.mark.parametrize("now", [None, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "timing",
    [
        {"active_utc": {"start": "00:00", "end": "00:01"}},
        {"window": {"at_least": 1, "seconds": 1.0}},
    ],
)
def test_evaluate_with_no_usable_time_fails_closed(
    now: float | None, timing: dict[str, Any]
) -> None:
    assert evaluate(rule(**timing), now=now, drawdown=0.2).action is Action.BLOCK
    assert evaluate(rule(**timing), now=now, drawdown=0.0).action is Action.ALLOW


@given(
    st.dictionaries(
        st.sampled_from(["drawdown", "leverage", "other"]),
        st.floats(allow_nan=True, allow_infinity=True),
    ),
    st.none() | st.floats(allow_nan=True, allow_infinity=True),
)
def test_evaluate_with_any_numbers_allows_only_what_is_certainly_fine(
    metrics: dict[str, float], now: float | None
) -> None:
    rules = [
        rule(name="plain"),
        rule(name="timed", active_utc={"start": "01:00", "end": "02:00"}, action="HALT"),
        rule(name="windowed", window={"at_least": 1, "seconds": 5.0}, action="HEDGE"),
    ]
    engine = RuleEngine(rules, LIMITS)
    outcome = engine.evaluate(Readings(metrics), now, {})
    certainly_fine = -float("inf") < metrics.get("drawdown", float("nan")) <= LIMITS["drawdown"]
    assert (outcome.action is Action.ALLOW) == certainly_fine
    for breach in outcome.breaches:
        assert breach.value is not None or breach.headroom is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"action": "ALLOW"}, "cannot demand ALLOW"),
        ({"action": "STOP"}, "allowed: ALLOW, WARN"),
        ({"action": "HALT", "unavailable_action": "WARN"}, "BLOCK, HALT or LIQUIDATE"),
        ({"name": "Not a name"}, "pattern"),
        ({"active_utc": {"start": "09:00", "end": "09:00"}}, "equal"),
        ({"active_utc": {"start": "24:00", "end": "09:00"}}, "time of day"),
        ({"severity": "grave"}, "info"),
    ],
)
def test_rule_settings_with_a_wrong_value_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        rule(**values)
