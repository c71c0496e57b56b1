"""Only the whole of a policy file is a policy."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tradewind.errors import RiskPolicyError
from tradewind.risk import RiskPolicy

SHIPPED = Path("config/risk_limits.yaml")
RULE = "rules: [{name: a, when: {metric: var_95, over: 1}, action: HALT}]"


def read(text: str | bytes) -> RiskPolicy:
    return RiskPolicy.from_text(text if isinstance(text, bytes) else text.encode(), "policy")


def fields_of(text: str) -> list[str]:
    with pytest.raises(RiskPolicyError) as caught:
        read(text)
    return [violation.field for violation in caught.value.violations]


def is_whole(text: bytes, whole: RiskPolicy) -> bool:
    try:
        return read(text) == whole
    except RiskPolicyError:
        return False


def accepted(text: bytes, ends: range) -> list[int]:
    found = []
    for end in ends:
        try:
            policy = read(text[:end])
        except RiskPolicyError:
            continue
        assert policy == RiskPolicy.from_yaml(SHIPPED)
        found.append(end)
    return found


def test_shipped_policy_cut_off_at_any_line_or_near_its_end_is_refused() -> None:
    text = SHIPPED.read_bytes()
    lines = [at + 1 for at, byte in enumerate(text) if byte == ord("\n")]
    for end in lines[:-1]:
        assert accepted(text, range(end, end + 1)) == []
    # Without the last line's end nothing is missing.
    assert accepted(text, range(len(text) - 60, len(text))) == [len(text) - 1]


def block_of(policy: RiskPolicy) -> bytes:
    """A short policy as a block, so that every one of its prefixes can be tried."""
    values: dict[str, Any] = {
        "limits": {"max_drawdown": {"limit": 0.2}},
        "rules": [rule.model_dump(mode="json", exclude_defaults=True) for rule in policy.rules[:3]],
    }
    return yaml.safe_dump(values, sort_keys=False, explicit_end=True).encode()


def test_block_cut_off_at_any_byte_is_refused() -> None:
    text = block_of(RiskPolicy.from_yaml(SHIPPED))
    whole = read(text)
    assert len(whole.rules) == 3
    ends = [end for end in range(len(text)) if is_whole(text[:end], whole)]
    assert ends == [len(text) - 1]
    for end in range(len(text) - 1):
        with pytest.raises(RiskPolicyError):
            read(text[:end])


def test_braces_cut_off_at_any_byte_are_refused() -> None:
    text = ("{" + RULE + ", limits: {var_95: {limit: 1}}}").encode()
    assert len(read(text).rules) == 1
    for end in range(len(text)):
        with pytest.raises(RiskPolicyError):
            read(text[:end])


@pytest.mark.parametrize(
    "text",
    [f"{RULE}\n...\n", f"{RULE}\n...", f"---\n{RULE}\n...\n# the end\n", f"{RULE}\r\n...\r\n"],
)
def test_block_with_its_end_is_whole(text: str) -> None:
    assert len(read(text).rules) == 1


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", ["the end of the file", "rules"]),
        ("# only a comment\n", ["the end of the file", "rules"]),
        ("{}\n...\n", ["rules"]),
        ("rules: []\n...\n", ["rules"]),
        ("limits: {var_95: {limit: 1}}\n...\n", ["rules"]),
        (f"{RULE}\n", ["the end of the file"]),
        (f"{RULE}\n# ...\n", ["the end of the file"]),
        (f"limits:\n  var_95: {{limit: 1}}\n{RULE}\n  \n", ["the end of the file"]),
        ("monitor_only: true\n", ["the end of the file"]),
        ("monitor_only: tr\n...\n", ["monitor_only"]),
        (f"monitor_only: true\n{RULE}\n...\n", ["monitor_only"]),
    ],
)
def test_policy_without_end_or_rules_names_what_is_missing(text: str, fields: list[str]) -> None:
    assert fields_of(text) == fields


@pytest.mark.parametrize(
    "text", ["...\n", f"{RULE}\n..", f"{RULE}\n...\n{RULE}\n", f"{RULE}\n...\n---\n{RULE}\n...\n"]
)
def test_two_documents_or_half_a_mark_are_no_policy(text: str) -> None:
    with pytest.raises(RiskPolicyError):
        read(text)


def test_refusal_of_a_policy_of_the_earlier_form_names_the_cure() -> None:
    with pytest.raises(RiskPolicyError, match=r"add the line `\.\.\.`"):
        read(SHIPPED.read_text().removesuffix("...\n"))


def test_monitor_only_policy_has_no_rules_and_the_digest_of_what_it_calculates() -> None:
    policy = read("monitor_only: true\nlimits: {var_95: {limit: 1}}\n...\n")
    assert policy.monitor_only
    assert policy.digest() == RiskPolicy.parse({"limits": {"var_95": {"limit": 1.0}}}).digest()


@pytest.mark.parametrize(
    "text",
    [
        f"{RULE}\n{RULE}\n...\n",
        "rules: [{name: a, name: b, when: {metric: var_95, over: 1}, action: HALT}]\n...\n",
        "limits: {var_95: {limit: 1, limit: 2}}\nmonitor_only: true\n...\n",
    ],
)
def test_policy_with_a_repeated_key_is_refused_wherever_it_stands(text: str) -> None:
    with pytest.raises(RiskPolicyError, match="repeated"):
        read(text)


def test_policy_with_an_alias_is_the_policy_that_it_stands_for() -> None:
    text = "rules:\n- &a {name: a, when: &w {metric: var_95, over: 1}, action: HALT}\n"
    found = read(text + "- {name: b, when: *w, action: WARN}\n...\n")
    assert found.rules[1].when == found.rules[0].when


def test_policy_that_is_not_text_or_has_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RiskPolicyError, match="cannot read policy"):
        read(b"\xff\xfe\x00")
    with pytest.raises(RiskPolicyError, match="cannot read"):
        RiskPolicy.from_yaml(tmp_path)


def test_unenforced_limits_of_the_shipped_policy_are_those_of_the_reward_and_of_shadow_rules() -> (
    None
):
    found = RiskPolicy.from_yaml(SHIPPED).unenforced_limits()
    assert set(found) == {
        "limits.gross_leverage",
        "limits.stress_loss",
        "pre_trade.adv_participation",
        "pre_trade.book_impact",
    }
    assert "shadow rules (order_liquidity)" in found["pre_trade.book_impact"]


DRAWDOWN = {"metric": "max_drawdown"}


@pytest.mark.parametrize(
    ("rules", "enforced"),
    [
        ([], False),
        ([{"when": DRAWDOWN, "action": "WARN"}], False),
        ([{"when": DRAWDOWN, "action": "THROTTLE"}], True),
        ([{"when": DRAWDOWN, "action": "HALT", "shadow": True}], False),
        ([{"when": {**DRAWDOWN, "over": 0.1}, "action": "BLOCK"}], True),
        ([{"when": {**DRAWDOWN, "over": 0.3}, "action": "BLOCK"}], False),
        ([{"when": {"not": DRAWDOWN}, "action": "BLOCK"}], False),
        ([{"when": {"any": [DRAWDOWN, {"metric": "var_95", "over": 1}]}, "action": "HALT"}], True),
        ([{"when": {"all": [DRAWDOWN, {"metric": "var_95", "over": 1}]}, "action": "HALT"}], False),
    ],
)
def test_limit_is_enforced_by_a_rule_that_does_something_when_it_is_exceeded(
    rules: list[dict[str, Any]], enforced: bool
) -> None:
    named = [{"name": f"rule_{index}", **rule} for index, rule in enumerate(rules)]
    policy = RiskPolicy.parse({"limits": {"max_drawdown": {"limit": 0.2}}, "rules": named})
    assert ("limits.max_drawdown" not in policy.unenforced_limits()) is enforced
