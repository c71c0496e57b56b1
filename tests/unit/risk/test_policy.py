"""The risk policy: its digest, its defaults, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from tradewind.errors import RiskPolicyError
from tradewind.risk import RiskPolicy
from tradewind.risk.calculators import CALCULATORS

DEFAULT_POLICY = Path("config/risk_limits.yaml")


def load(tmp_path: Path, text: str) -> RiskPolicy:
    path = tmp_path / "policy.yaml"
    path.write_text(f"{text}\n...\n")
    return RiskPolicy.from_yaml(path)


def test_default_policy_enables_every_calculator_and_limits_known_metrics() -> None:
    policy = RiskPolicy.from_yaml(DEFAULT_POLICY)
    settings = policy.calculators
    assert all(settings.of(calculator).enabled for calculator in CALCULATORS)
    assert set(policy.limits) <= set(settings.metrics())
    for metric in ("max_drawdown", "daily_drawdown", "expected_shortfall_95", "gross_leverage"):
        assert metric in policy.limits


def test_digest_with_another_order_and_defaults_spelled_out_is_the_same(tmp_path: Path) -> None:
    short = load(
        tmp_path, "monitor_only: true\nlimits: {var_95: {limit: 2}, max_drawdown: {limit: 0.2}}"
    )
    long = load(
        tmp_path,
        """\
monitor_only: true
limits:
  max_drawdown: {weight: 1.0, limit: 0.2}
  var_95: {limit: 2.0}
calculators:
  volatility: {min_returns: 20, enabled: true, window_bars: 256}
""",
    )
    assert short.digest() == long.digest()
    assert len(short.digest()) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"calculators": {"volatility": {"window_bars": 255}}},
        {"calculators": {"volatility": {"enabled": False}}},
        {"calculators": {"var": {"method": "parametric"}}},
        {"calculators": {"stress": {"scenarios": {"crash": {"other_price_shock": -0.3}}}}},
        {"limits": {"var_95": {"limit": 0.02}}},
        {"pre_trade": {"gross_leverage": 2.0}},
        {"rules": [{"name": "a", "when": {"metric": "var_95", "over": 1}, "action": "WARN"}]},
    ],
)
def test_digest_with_any_other_setting_is_another(change: dict[str, Any]) -> None:
    assert RiskPolicy.parse(change).digest() != RiskPolicy().digest()


def test_canonical_form_read_again_is_the_same_policy() -> None:
    policy = RiskPolicy.from_yaml(DEFAULT_POLICY)
    again = RiskPolicy.model_validate_json(policy.canonical_json())
    assert again == policy
    assert again.canonical_json() == policy.canonical_json()


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("calculators:\n  var: {windows: 9}", "calculators.var.windows", "not permitted (line 2)"),
        ("calculators:\n  vra: {}", "calculators.vra", "says `use` (line 2)"),
        ("limit: {}", "limit", "not permitted (line 1)"),
        (
            "calculators:\n  var:\n    method: exact",
            "calculators.var.method",
            "'historical', 'parametric' or 'cornish_fisher' (line 3)",
        ),
        (
            "calculators:\n  var: {window_bars: 19}",
            "calculators.var.window_bars",
            "greater than or equal to 20 (line 2)",
        ),
        (
            "calculators:\n  volatility:\n    ewma_lambda: 1.0",
            "calculators.volatility.ewma_lambda",
            "less than 1 (line 3)",
        ),
        (
            "limits:\n  var_95: {limit: 0.1}\n  var_96: {limit: 0.1}",
            "limits.var_96",
            "no enabled calculator gives this metric; there are current_drawdown, ",
        ),
        (
            "calculators:\n  var: {enabled: false}\nlimits:\n  var_95: {limit: 0.1}",
            "limits.var_95",
            "(line 4)",
        ),
        ("limits:\n  var_95: {limit: 0}", "limits.var_95.limit", "greater than 0 (line 2)"),
        ("limits:\n  var_95: {limit: .nan}", "limits.var_95.limit", "finite number (line 2)"),
        (
            "limits:\n  var_95: {limit: 1, weight: -1}",
            "limits.var_95.weight",
            "greater than or equal to 0 (line 2)",
        ),
        (
            "calculators:\n  stress: {scenarios: {crash: {price_shocks: {BTC: -1.5}}}}",
            "calculators.stress.scenarios.crash.price_shocks.BTC",
            "greater than or equal to -1 (line 2)",
        ),
        ("calculators:\n  stress: {scenarios: {}}", "calculators.stress.scenarios", "at least 1"),
        (
            "calculators:\n  stress: {scenarios: {Big Crash: {}}}",
            "calculators.stress.scenarios.Big Crash.[key]",
            "should match pattern",
        ),
    ],
)
def test_policy_with_a_wrong_setting_names_field_and_line(
    tmp_path: Path, text: str, field: str, message: str
) -> None:
    with pytest.raises(RiskPolicyError) as caught:
        load(tmp_path, text)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert message in violation.description


def test_policy_with_a_repeated_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RiskPolicyError, match="repeated"):
        load(tmp_path, "limits:\n  var_95: {limit: 1}\n  var_95: {limit: 2}")


def test_policy_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RiskPolicyError, match="cannot read"):
        RiskPolicy.from_yaml(tmp_path / "absent.yaml")


def test_disabled_calculators_give_no_metrics() -> None:
    policy = RiskPolicy.parse({"calculators": {"var": {"enabled": False}}})
    assert "var_95" not in policy.calculators.metrics()
    assert "expected_shortfall_95" in policy.calculators.metrics()
