"""What of a log's risk metrics can be compared, where a calculator is from outside."""

import json

from orchestrator.analysis.decision_replay.formulas import RiskFormulas
from tradewind.risk import NoSettings, PythonCalculator, RiskPolicy

WORST = PythonCalculator(
    name="worst",
    version=3,
    settings=NoSettings,
    metrics=lambda _: {"worst_return": "fraction"},
    windows=lambda _: {"returns": 30},
    calculate=lambda _, account: {"worst_return": -float(account.returns.min())},
)
LIMITS = {"worst_return": {"limit": 1.0}, "max_drawdown": {"limit": 1.0}}


def test_metric_of_a_calculator_that_a_log_names_is_skipped_with_the_cure() -> None:
    policy = RiskPolicy.parse({"calculators": {"worst": {"use": WORST}}, "limits": LIMITS})
    text = policy.canonical_json()
    facts = {
        "risk_policy": text,
        "risk_parts": policy.parts,
        "risk_versions": policy.versions,
    }
    there = RiskFormulas.of(RiskPolicy.parse(json.loads(text)), facts)
    assert there.skipped == {"worst_return"}
    assert not there.with_score
    assert there.said[0] == (
        "worst_return: calculated by worst, and no code is imported because a log names it; give "
        "the file of the risk policy with --risk-policy"
    )
    here = RiskFormulas.of(policy, facts)
    assert here == RiskFormulas(frozenset(), True, ())


def test_metric_of_another_version_of_a_calculator_from_outside_is_skipped() -> None:
    policy = RiskPolicy.parse({"calculators": {"worst": {"use": WORST}}})
    facts = {
        "risk_policy": policy.canonical_json(),
        "risk_parts": {"tradewind.calculators:worst@2": {}},
        "risk_versions": {**policy.versions, "worst": 2},
    }
    found = RiskFormulas.of(policy, facts)
    assert found.skipped == {"worst_return"}
    assert "worst has version 2 there and 3 here" in found.said[0]
