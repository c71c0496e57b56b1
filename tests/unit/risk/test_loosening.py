"""What a new policy takes away from the HALT and LIQUIDATE rules of an old one."""

from pathlib import Path
from typing import Any

import pytest

from tradewind.risk import RiskPolicy, loosens

SHIPPED = RiskPolicy.from_yaml(Path("config/risk_limits.yaml"))


def policy(*rules: dict[str, Any], **parts: Any) -> RiskPolicy:
    values = {"limits": {"max_drawdown": {"limit": 0.2}, "var_95": {"limit": 0.02}}, **parts}
    return RiskPolicy.parse({**values, "rules": rules})


def rule(name: str = "ruin", action: str = "HALT", **more: Any) -> dict[str, Any]:
    return {"name": name, "when": {"metric": "max_drawdown"}, "action": action, **more}


EITHER = {"any": [{"metric": "max_drawdown"}, {"metric": "var_95"}]}
BOTH = {"all": [{"metric": "max_drawdown"}, {"metric": "var_95"}]}
HOURS = {"start": "08:00", "end": "18:00"}
OLD = policy(rule())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (OLD, OLD),
        (SHIPPED, SHIPPED),
        (OLD, policy(rule("another_name"))),
        (OLD, policy(rule(action="LIQUIDATE"))),
        (OLD, policy(rule(when={"metric": "max_drawdown", "over": 0.1}))),
        (OLD, policy(rule(), limits={"max_drawdown": {"limit": 0.1}})),
        (OLD, policy(rule(when=EITHER))),
        (OLD, policy(rule(), rule("more", "WARN"))),
        (policy(rule(when=BOTH)), OLD),
        (policy(rule(when=EITHER)), policy(rule(), rule("tail", when={"metric": "var_95"}))),
        (policy(rule(window={"at_least": 2, "evaluations": 3})), OLD),
        (
            policy(rule(window={"at_least": 2, "evaluations": 3})),
            policy(rule(window={"at_least": 1, "evaluations": 5})),
        ),
        (policy(rule(active_utc=HOURS)), OLD),
        (
            policy(rule(active_utc={"start": "23:00", "end": "01:00"})),
            policy(rule(active_utc={"start": "22:30", "end": "01:30"})),
        ),
        (policy(rule(unavailable_action="BLOCK")), OLD),
        (policy(rule(shadow=True)), policy()),
        (policy(rule(action="BLOCK")), policy()),
        (OLD, policy(rule(), calculators={"var": {"window_bars": 100}})),
    ],
)
def test_policy_that_is_as_strict_loosens_nothing(old: RiskPolicy, new: RiskPolicy) -> None:
    assert loosens(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (OLD, policy(), "it is dropped"),
        (OLD, RiskPolicy(monitor_only=True), "it is dropped"),
        (OLD, policy(rule(shadow=True)), "recorded only (shadow)"),
        (OLD, policy(rule(action="BLOCK")), "it would demand BLOCK"),
        (policy(rule(action="LIQUIDATE")), OLD, "it would demand HALT"),
        (OLD, policy(rule(unavailable_action="BLOCK")), "it would demand BLOCK, not HALT"),
        (
            policy(rule(action="BLOCK", unavailable_action="HALT")),
            policy(rule(action="BLOCK")),
            "it would demand BLOCK, not HALT",
        ),
        (
            OLD,
            policy(rule(when={"metric": "max_drawdown", "over": 0.3})),
            "it would hold when max_drawdown > 0.3",
        ),
        (OLD, policy(rule(), limits={"max_drawdown": {"limit": 0.3}}), "max_drawdown > 0.3"),
        (
            policy(rule(when={"metric": "max_drawdown", "of_limit": 0.8})),
            policy(rule(when={"metric": "max_drawdown", "of_limit": 0.9})),
            "it would hold when",
        ),
        (OLD, policy(rule(when=BOTH)), "it would hold when (max_drawdown > 0.2 and var_95"),
        (policy(rule(when=EITHER)), OLD, "it would hold when max_drawdown > 0.2"),
        (OLD, policy(rule(window={"at_least": 2, "evaluations": 2})), "2 in 2 evaluations"),
        (OLD, policy(rule(window={"at_least": 3, "seconds": 60.0})), "3 in 60 s"),
        (
            policy(rule(window={"at_least": 2, "seconds": 60.0})),
            policy(rule(window={"at_least": 2, "seconds": 30.0})),
            "2 in 30 s",
        ),
        (
            policy(rule(window={"at_least": 2, "seconds": 60.0})),
            policy(rule(window={"at_least": 2, "evaluations": 60})),
            "2 in 60 evaluations",
        ),
        (OLD, policy(rule(active_utc=HOURS)), "from 08:00 to 18:00 UTC only"),
        (
            policy(rule(active_utc={"start": "22:30", "end": "01:30"})),
            policy(rule(active_utc={"start": "23:00", "end": "01:30"})),
            "from 23:00 to 01:30 UTC only",
        ),
        (
            policy(rule(when={"metric": "var_95"})),
            policy(rule(when={"metric": "var_95"}), calculators={"var": {"window_bars": 100}}),
            "var_95 would be calculated otherwise, calculators.var.window_bars changes",
        ),
        (
            policy(rule(when={"metric": "daily_turnover", "over": 1.0})),
            policy(
                rule(when={"metric": "daily_turnover", "over": 1.0}),
                calculators={"feed_staleness": {"max_clock_skew_ms": 1e9}},
            ),
            "calculators.feed_staleness.max_clock_skew_ms changes",
        ),
        (
            policy(
                rule(when={"metric": "pre_trade.order_notional"}),
                pre_trade={"order_notional": 10.0},
            ),
            policy(
                rule(when={"metric": "pre_trade.order_notional"}),
                pre_trade={"order_notional": 20.0},
            ),
            "pre_trade.order_notional > 20",
        ),
    ],
)
def test_policy_that_takes_something_away_says_what(
    old: RiskPolicy, new: RiskPolicy, words: str
) -> None:
    (sentence,) = loosens(old, new)
    assert sentence.startswith("rule ruin (")
    assert words in sentence


def test_policy_without_the_last_rule_that_halts_names_each() -> None:
    kept = tuple(rule for rule in SHIPPED.rules if rule.action.name not in ("HALT", "LIQUIDATE"))
    sentences = loosens(SHIPPED, SHIPPED.model_copy(update={"rules": kept}))
    assert [sentence.split(" ")[1] for sentence in sentences] == ["drawdown_halt", "ruin"]
