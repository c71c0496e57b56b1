"""Limits put on a policy in force: stricter or refused, and never the end of what held before."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.errors import RiskPolicyError
from tradewind.risk import EnforcedPolicy, RiskOverlay, RiskPolicy
from tradewind.risk.rules import Action, Readings, WindowState

POLICY = RiskPolicy.parse(
    {
        "limits": {"max_drawdown": {"limit": 0.2}, "volatility": {"limit": 1.0}},
        "pre_trade": {"order_notional": 1_000.0},
        "rules": [
            {"name": "warn", "when": {"metric": "max_drawdown", "of_limit": 0.5}, "action": "WARN"},
            {"name": "halt", "when": {"metric": "max_drawdown"}, "action": "HALT"},
            {
                "name": "wild",
                "when": {"metric": "volatility"},
                "action": "BLOCK",
                "window": {"at_least": 2, "evaluations": 3},
            },
            {"name": "order", "when": {"metric": "pre_trade.order_notional"}, "action": "BLOCK"},
        ],
    }
)
BASE = POLICY.digest()


def overlay(**values: Any) -> RiskOverlay:
    return RiskOverlay(**{"base": BASE, **values})


def readings(**metrics: float) -> Readings:
    values = {"max_drawdown": 0.0, "volatility": 0.0, "pre_trade.order_notional": 1.0, **metrics}
    return Readings(values, {}, frozenset())


def demand(enforced: EnforcedPolicy, **metrics: float) -> Action:
    return enforced.rule_engine().evaluate(readings(**metrics), None, {}).action


def test_overlay_with_lower_limits_demands_what_the_rules_demand_at_them() -> None:
    tight = EnforcedPolicy(POLICY, overlay(limits={"max_drawdown": 0.1}))
    assert [demand(EnforcedPolicy(POLICY), max_drawdown=loss) for loss in (0.06, 0.12, 0.3)] == [
        Action.ALLOW, Action.WARN, Action.HALT,
    ]  # fmt: skip
    assert [demand(tight, max_drawdown=loss) for loss in (0.06, 0.12, 0.3)] == [
        Action.WARN, Action.HALT, Action.HALT,
    ]  # fmt: skip
    outcome = tight.rule_engine().evaluate(readings(max_drawdown=0.12), None, {})
    assert outcome.decisive[0].reason == "max_drawdown 0.12 is over 0.1; by the overlay"
    # What is calculated is the policy's own.
    assert tight.policy is POLICY
    assert tight.tightened.limits["max_drawdown"].limit == 0.1


def test_overlay_with_limits_on_orders_and_rules_of_its_own_adds_them() -> None:
    own = {"name": "late", "when": {"metric": "max_feed_staleness_ms", "over": 5}, "action": "HALT"}
    tight = EnforcedPolicy(
        POLICY,
        overlay(pre_trade={"order_notional": 500.0, "gross_leverage": 1.0}, rules=[own]),
    )
    assert tight.tightened.pre_trade.by_metric() == {
        "pre_trade.order_notional": 500.0,
        "pre_trade.gross_leverage": 1.0,
    }
    assert demand(tight, **{"pre_trade.order_notional": 600.0}) is Action.HALT  # no feed is known
    assert demand(tight, max_feed_staleness_ms=1.0, **{"pre_trade.order_notional": 600.0}) is (
        Action.BLOCK
    )
    assert "late: max_feed_staleness_ms > 5.0; by the overlay" in tight.rule_engine().describe()


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"limits": {"max_drawdown": 0.21}}, "limits.max_drawdown: 0.21 is looser than the 0.2"),
        (
            {"pre_trade": {"order_notional": 1_001.0}},
            "pre_trade.order_notional: 1001 is looser than the 1000",
        ),
        ({"limits": {"var_95": 0.1}}, "limits.var_95: the policy has no such limit"),
        (
            {"rules": [{"name": "halt", "when": {"metric": "volatility"}, "action": "WARN"}]},
            r"rules[0].name: 'halt' is the name of a rule of the policy",
        ),
        (
            {"rules": [{"name": "new", "when": {"metric": "drawdawn"}, "action": "WARN"}]},
            "rules[0].when: no enabled calculator gives drawdawn",
        ),
        (
            {"rules": [{"name": "new", "when": {"metric": "var_95"}, "action": "WARN"}]},
            "rules[0].when: var_95 has no limit",
        ),
        (
            {"base": "0" * 64, "limits": {"max_drawdown": 0.1}},
            f"base: {'0' * 64} is not the policy",
        ),
    ],
)
def test_overlay_that_is_not_stricter_is_refused_with_its_field(
    values: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(RiskPolicyError, match=re.escape(refusal)):
        EnforcedPolicy(POLICY, overlay(**values))


def test_overlay_that_loosens_a_negated_condition_is_refused_with_its_field() -> None:
    policy = RiskPolicy.parse(
        {
            "limits": {"volatility": {"limit": 1.0}},
            "rules": [
                {"name": "calm", "when": {"not": {"metric": "volatility"}}, "action": "HALT"}
            ],
        }
    )
    with pytest.raises(
        RiskPolicyError, match=r"limits.volatility: a lower limit would loosen .*calm"
    ):
        EnforcedPolicy(policy, RiskOverlay(base=policy.digest(), limits={"volatility": 0.5}))


def test_overlay_put_on_under_way_leaves_the_windows_as_they_are() -> None:
    plain, tight = (
        EnforcedPolicy(POLICY).rule_engine(),
        EnforcedPolicy(POLICY, overlay(limits={"volatility": 0.9})).rule_engine(),
    )
    windows: dict[str, WindowState] = {}
    outcome = plain.evaluate(readings(volatility=2.0), None, windows)
    assert outcome.action is Action.ALLOW  # one of two
    outcome = tight.evaluate(readings(volatility=2.0), None, outcome.windows)
    assert outcome.action is Action.BLOCK  # put on in between, it is still the second
    outcome = plain.evaluate(readings(volatility=0.0), None, outcome.windows)
    assert outcome.action is Action.BLOCK  # taken off, too


@given(
    st.floats(0.01, 0.2), st.floats(0.01, 1.0), st.floats(1.0, 1_000.0),
    st.lists(st.tuples(st.floats(0.0, 0.4), st.floats(0.0, 2.0), st.floats(0.0, 2_000.0)),
             max_size=6),
)  # fmt: skip
def test_overlay_of_any_limits_never_demands_less(
    drawdown: float, volatility: float, notional: float, ticks: list[tuple[float, float, float]]
) -> None:
    engines = [
        EnforcedPolicy(POLICY).rule_engine(),
        EnforcedPolicy(
            POLICY,
            overlay(
                limits={"max_drawdown": drawdown, "volatility": volatility},
                pre_trade={"order_notional": notional},
            ),
        ).rule_engine(),
    ]
    windows: list[Any] = [{}, {}]
    for loss, wild, size in ticks:
        now = readings(max_drawdown=loss, volatility=wild, **{"pre_trade.order_notional": size})
        outcomes = [engine.evaluate(now, None, windows[at]) for at, engine in enumerate(engines)]
        assert outcomes[1].action >= outcomes[0].action
        assert {breach.rule for breach in outcomes[0].breaches} <= {
            breach.rule for breach in outcomes[1].breaches
        }
        windows = [outcome.windows for outcome in outcomes]


def test_overlay_with_nothing_in_it_is_none() -> None:
    empty = RiskOverlay.from_text(b"# nothing is on\nlimits: {}\n...\n", "overlay.yaml")
    assert (empty.digest(), EnforcedPolicy(POLICY, empty).tightened) == ("", POLICY)
    assert len(overlay(limits={"max_drawdown": 0.1}).digest()) == 64
    assert overlay(limits={"max_drawdown": 0.1}).digest() != (
        overlay(limits={"max_drawdown": 0.11}).digest()
    )
    equal = [overlay(limits={"volatility": 1}), overlay(limits={"volatility": 1.0})]
    assert len({each.digest() for each in equal}) == 1


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("limits: {max_drawdown: 0.1}\n...\n", "base is missing"),
        ("bass: x\n...\n", "bass"),
        (f"base: {BASE}\nlimits: {{max_drawdown: -1}}\n...\n", "limits.max_drawdown"),
        (f"base: {BASE}\nlimits: {{max_drawdown: .inf}}\n...\n", "limits.max_drawdown"),
        (f"base: {BASE[:9]}\n...\n", "base"),
        ("", "the end of the file"),
    ],
)
def test_overlay_file_that_is_wrong_is_refused_with_its_field(text: str, refusal: str) -> None:
    with pytest.raises(RiskPolicyError, match=refusal):
        RiskOverlay.from_text(text.encode(), "overlay.yaml")


def test_overlay_file_that_is_cut_off_anywhere_is_refused_or_is_whole(tmp_path: Path) -> None:
    text = f"""\
base: {BASE}
limits:
  max_drawdown: 0.1
  volatility: 0.5
pre_trade:
  order_notional: 10
...
"""
    whole = RiskOverlay.from_text(text.encode(), "overlay.yaml")
    for end in range(len(text) - 1):
        try:
            found = RiskOverlay.from_text(text[:end].encode(), "overlay.yaml")
        except RiskPolicyError:
            continue
        assert found == whole


def pairs(make: Callable[..., RiskOverlay]) -> list[str]:
    values: list[dict[str, Any]] = [
        {},
        {"limits": {"max_drawdown": 0.1}},
        {"pre_trade": {"order_notional": 9.0}},
        {"rules": [{"name": "a", "when": {"metric": "var_95", "over": 1}, "action": "WARN"}]},
        {"limits": {"max_drawdown": 0.1}, "base": "1" * 64},
    ]
    return [make(**each).digest() for each in values]


def test_digest_of_an_overlay_changes_with_anything_in_it() -> None:
    found = pairs(overlay)
    assert all(one != other for one, other in itertools.combinations(found, 2))
