"""Rules in the policy file: what is refused, and on which line."""

from pathlib import Path

import pytest

from tradewind.errors import RiskPolicyError
from tradewind.risk.policy import RiskPolicy

HEAD = """\
limits:
  max_drawdown: {limit: 0.2}
pre_trade:
  gross_leverage: 3.0
rules:
  - name: first
    when: {metric: max_drawdown}
    action: WARN
"""


def load(tmp_path: Path, text: str) -> RiskPolicy:
    path = tmp_path / "policy.yaml"
    path.write_text(f"{HEAD}{text}...\n")
    return RiskPolicy.from_yaml(path)


def test_policy_with_rules_resolves_limits_of_both_sections(tmp_path: Path) -> None:
    policy = load(
        tmp_path,
        """\
  - name: order
    when: {metric: pre_trade.gross_leverage}
    action: BLOCK
""",
    )
    assert policy.rule_limits() == {"max_drawdown": 0.2, "pre_trade.gross_leverage": 3.0}
    assert [rule.name for rule in policy.rules] == ["first", "order"]


def test_policy_with_another_rule_has_another_digest(tmp_path: Path) -> None:
    before = load(tmp_path, "").digest()
    assert load(tmp_path, "    shadow: true\n").digest() != before
    assert load(tmp_path, "    shadow: false\n").digest() == before


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        (
            "  - {name: first, action: WARN, when: {metric: max_drawdown}}\n",
            "rules[1].name",
            "also the name of rules[0] (line 9)",
        ),
        (
            "  - name: second\n    action: WARN\n    when: {metric: drawdawn}\n",
            "rules[1].when",
            "no enabled calculator gives drawdawn",
        ),
        (
            "  - name: second\n    action: WARN\n    when: {metric: var_95}\n",
            "rules[1].when",
            "var_95 has no limit in the policy; set one, or say `over` (line 11)",
        ),
        (
            "  - name: second\n    action: BLOCK\n"
            "    when: {metric: pre_trade.gross_leverage, over: 2}\n",
            "rules[1].when",
            "takes its limit from pre_trade only",
        ),
        (
            "  - name: second\n    action: WARN\n    when: {metric: max_drawdown, under: 2}\n",
            "rules[1].when.under",
            "not permitted (line 11)",
        ),
    ],
)
def test_policy_with_a_wrong_rule_names_field_and_line(
    tmp_path: Path, text: str, field: str, message: str
) -> None:
    with pytest.raises(RiskPolicyError) as caught:
        load(tmp_path, text)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert message in violation.description
