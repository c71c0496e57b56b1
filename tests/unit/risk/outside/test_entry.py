"""Calculators from outside at the door: what a risk policy may name, and what is refused."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradewind.components import closed_doors
from tradewind.errors import FieldViolation, RiskPolicyError
from tradewind.risk import (
    AccountView,
    NoSettings,
    PythonCalculator,
    RiskAgentV2,
    RiskInputs,
    RiskPolicy,
    loosens,
)
from tradewind.risk.curve import summarize_curve
from tradewind.risk.outside import trial

SOURCE = """
from pydantic import Field
from tradewind.risk import PythonCalculator
from tradewind.settings import Settings


class WorstSettings(Settings):
    window_bars: int = Field(default=30, ge=2)
    unit: float = 1.0


def calculate(settings, account):
    return {"worst_return": -settings.unit * float(account.returns.min())}


WORST = PythonCalculator(
    name="worst",
    version=3,
    settings=WorstSettings,
    metrics=lambda _: {"worst_return": "fraction"},
    windows=lambda settings: {"returns": settings.window_bars},
    calculate=calculate,
)
"""
RULES = [{"name": "worst", "when": {"metric": "worst_return", "over": 0.5}, "action": "HALT"}]
NAMES = (f"calculators_of_test_{number}" for number in count())

WORST = PythonCalculator(
    name="worst",
    version=1,
    settings=NoSettings,
    metrics=lambda _: {"worst_return": "fraction"},
    windows=lambda _: {"returns": 30},
    calculate=lambda _, account: {"worst_return": -float(account.returns.min())},
)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Makes a module that can be imported; gives its name."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(source: str = SOURCE) -> str:
        name = next(NAMES)
        (tmp_path / f"{name}.py").write_text(source)
        made.append(name)
        return name

    yield make
    for name in made:
        sys.modules.pop(name, None)


def refusal(entry: dict[str, Any], **others: Any) -> FieldViolation:
    """What is said of the first thing that is refused of a policy."""
    calculators = {"worst": entry, **others}
    with pytest.raises(RiskPolicyError) as caught:
        RiskPolicy.parse({"calculators": calculators}, imports=True)
    return caught.value.violations[0]


def test_policy_file_that_names_a_calculator_has_its_metrics_limits_and_rules(
    module: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(
        f"""\
calculators:
  worst:
    use: {module()}:WORST
    settings: {{window_bars: 4}}
limits:
  worst_return: {{limit: 0.1}}
rules:
  - name: worst
    when: {{metric: worst_return}}
    action: BLOCK
...
"""
    )
    policy = RiskPolicy.from_yaml(file)
    assert policy.calculators.metrics()[-1] == "worst_return"
    agent = RiskAgentV2(policy)
    report = agent.calculate_only({"returns": [-0.9, 0.1, -0.2, 0.1, 0.1]})
    assert report.metric_values["worst_return"] == 0.2
    assert report.risk_score == 1.0
    assert report.penalty == 2.0
    short = agent.calculate_only({})
    assert short.unavailable["worst_return"] == "returns: not given"
    assert short.unchecked_limits == ("worst_return",)


def test_policy_with_settings_that_are_wrong_names_field_and_line(
    module: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(
        f"calculators:\n  worst:\n    use: {module()}:WORST\n"
        "    settings:\n      window_bars: 1\nmonitor_only: true\n...\n"
    )
    with pytest.raises(RiskPolicyError) as caught:
        RiskPolicy.from_yaml(file)
    [violation] = caught.value.violations
    assert violation.field == "calculators.worst.settings.window_bars"
    assert violation.description.endswith("greater than or equal to 2 (line 5)")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("WORST =", "import does.not_exist\nWORST ="), "cannot be imported: ModuleNotFoundError"),
        (("WORST =", "raise SystemExit(3)\nWORST ="), "cannot be imported: SystemExit: 3"),
        (("WORST =", "WORSE ="), "has no WORST"),
        (("WORST = PythonCalculator", "WORST = dict"), "expected: an instance of tradewind.risk"),
        (("    version=3,\n", ""), "TypeError: PythonCalculator.__init__() missing"),
        (("version=3", "version=0"), "ValueError: version of worst must be 1 or more, not 0"),
        (("version=3", "version='3'"), "version of worst must be 1 or more, not '3'"),
        (("version=3", "version=True"), "version of worst must be 1 or more, not True"),
        (('name="worst"', 'name="Worst One"'), "a calculator's name must match"),
        (('name="worst"', 'name="best"'), "has the name best: put it under that"),
        (("settings=WorstSettings", "settings=dict"), "a subclass of tradewind.settings.Settings"),
        (("calculate=calculate", "calculate=None"), "calculate of worst must be a function"),
        (('"worst_return"', '"var_95"'), "var_95 is one of the calculator var"),
        (('"worst_return": "fraction"', '"worst_return": ""'), "must give the unit of one"),
        (('{"worst_return": "fraction"}', '["worst_return"]'), "a mapping of names to units"),
        (('{"worst_return": "fraction"}', "{}"), "must give the unit of one or more"),
        (('{"worst_return": "fraction"}', "1 / 0"), "metrics raised ZeroDivisionError"),
        (('{"returns": settings', '{"prices": settings'), "windows must be of timestamps"),
        (("settings.window_bars}", "0}"), "windows must be of timestamps"),
        (("settings.window_bars}", "float('inf')}"), "a mapping of names to whole numbers"),
        (("calculate=calculate", "needs=lambda _: {'returns': 31}, calculate=calculate"), "window"),
        (("calculate=calculate", "needs=lambda _: {'trades': 1}, calculate=calculate"), "does not"),
        (("calculate=calculate", "needs=lambda _: {'mood': 1}, calculate=calculate"), "not mood"),
        (("-settings.unit *", "1 / 0 *"), "account, it raised ZeroDivisionError: division by zero"),
        (("-settings.unit *", "exit(5) *"), "on a made-up account, it raised SystemExit: 5"),
        (("-settings.unit *", "float('nan') *"), "account, it gave nan for worst_return"),
        (("-settings.unit *", "1e308 * -1e308 *"), "gave inf for worst_return"),
        (("float(account.returns.min())", "account.returns"), "gave ndarray of shape (30,)"),
        (("account.returns.min()", "account.returns.sort()"), "account, it raised ValueError"),
        (("account.returns.min()", "account.drawdowns.min()"), "drawdowns is in neither"),
        (("return {", "return [], {"), "gave tuple instead of a mapping of its metrics"),
        (('"worst_return": -', '"best_return": -'), "and declares ['worst_return']"),
        (
            (
                "-settings.unit *",
                "vars(calculate).setdefault('n', []).append(1) or len(calculate.n) *",
            ),
            "it gives different answers",
        ),
    ],
)
def test_calculator_that_is_none_is_refused_with_what_is_wrong(
    module: Callable[..., str], change: tuple[str, str], said: str
) -> None:
    assert change[0] in SOURCE
    name = module(SOURCE.replace(*change))
    violation = refusal({"use": f"{name}:WORST"})
    assert violation.field == "calculators.worst.use"
    assert said in violation.description


def test_calculator_of_another_version_than_the_policy_says_is_refused(
    module: Callable[..., str],
) -> None:
    use = f"{module()}:WORST"
    violation = refusal({"use": use, "version": 2})
    assert violation == FieldViolation(
        "calculators.worst.version", f"{use} has version 3, the policy says 2"
    )


def test_calculator_under_the_name_of_one_of_ours_is_refused(module: Callable[..., str]) -> None:
    assert refusal({}, var={"use": f"{module()}:WORST"}).field == "calculators.var.use"


def test_calculators_with_a_metric_of_one_name_are_refused() -> None:
    second = replace(WORST, name="xeroxed")
    violation = refusal({"use": WORST}, xeroxed={"use": second})
    assert violation == FieldViolation(
        "calculators.xeroxed.use",
        "its metric worst_return is one of the calculator worst: rename it",
    )


def test_calculator_that_is_slower_than_its_budget_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = count(step=2_000_000)
    monkeypatch.setattr(trial, "stopwatch_ns", lambda: next(clock))
    slow = replace(WORST, version=99)
    assert refusal({"use": slow}) == FieldViolation(
        "calculators.worst.budget_us",
        "a call takes 2,000 µs, and may take 1,000: make worst faster, or allow it more",
    )
    entry = {"use": slow, "budget_us": 2_000.0}
    RiskPolicy.parse({"calculators": {"worst": entry}})


def test_calculator_that_sleeps_is_asked_twice_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(step=60_000_000_000)
    monkeypatch.setattr(trial, "stopwatch_ns", lambda: next(clock))
    calls = []

    def calculate(_: NoSettings, account: AccountView) -> dict[str, float]:
        calls.append(account)
        return {"worst_return": 1.0}

    assert refusal({"use": replace(WORST, calculate=calculate)}).field.endswith(".budget_us")
    assert len(calls) == 2


def test_installed_package_with_an_entry_point_gives_its_calculator_a_name(
    module: Callable[..., str], tmp_path: Path
) -> None:
    name = module()
    for package in ("one", "two"):
        about = tmp_path / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\n")
        points = f"[tradewind.calculators]\n{package}_worst = {name}:WORST\nboth = {name}:WORST\n"
        (about / "entry_points.txt").write_text(points)
    policy = RiskPolicy.parse({"calculators": {"worst": {"use": "one_worst"}}}, imports=True)
    assert policy.calculators.outside["worst"].version == 3
    assert f"'both' is the name of several: {name}:WORST, " in refusal({"use": "both"}).description
    assert "there is no calculator 'three'" in refusal({"use": "three"}).description


def test_calculator_that_is_switched_off_is_not_imported() -> None:
    entry = {"use": "no.such:THING", "enabled": False}
    policy = RiskPolicy.parse({"calculators": {"worst": entry}}, imports=True)
    assert policy.calculators.metrics() == RiskPolicy().calculators.metrics()


def test_policy_of_a_message_imports_no_code(module: Callable[..., str]) -> None:
    name = module("import nothing_that_exists")
    values = {"calculators": {"worst": {"use": f"{name}:WORST"}}}
    with pytest.raises(RiskPolicyError, match="names code, and this policy is not one that may"):
        RiskPolicy.parse(values)
    text = json.dumps({**values, "monitor_only": True}).encode()
    with closed_doors((), "parts"), pytest.raises(RiskPolicyError, match=r"list it \(parts\)"):
        RiskPolicy.from_text(text, "policy")
    with pytest.raises(ValueError, match="names code, and this policy is not one that may"):
        RiskPolicy.model_validate(values)
    assert name not in sys.modules


def test_policy_read_back_from_its_canonical_form_is_described_without_its_code(
    module: Callable[..., str],
) -> None:
    name = module()
    entry = {"use": f"{name}:WORST", "settings": {"window_bars": 9}, "budget_us": 9_000.0}
    policy = RiskPolicy.parse(
        {
            "calculators": {"worst": entry},
            "limits": {"worst_return": {"limit": 1.0}},
            "rules": RULES,
        },
        imports=True,
    )
    sys.modules.pop(name)
    text = policy.canonical_json()
    described = RiskPolicy.parse(json.loads(text))
    assert name not in sys.modules
    assert described.canonical_json() == text
    assert described.digest() == policy.digest()
    assert described.calculators.metrics() == policy.calculators.metrics()
    assert described.calculators.windows() == policy.calculators.windows()
    report = RiskAgentV2(described).calculate_only({"returns": np.linspace(-0.1, 0.1, 30)})
    assert f"it is calculated by {name}:WORST, which is not" in report.unavailable["worst_return"]
    assert report.unchecked_limits == ("worst_return",)
    again = RiskPolicy.from_text(text.encode(), "policy")
    assert again.calculators.outside["worst"].loaded is not None
    assert again.digest() == policy.digest()


def test_digest_with_a_calculator_from_outside_follows_its_version_and_settings_alone(
    module: Callable[..., str],
) -> None:
    name = module()
    use = f"{name}:WORST"
    entries: dict[str, dict[str, object]] = {
        "plain": {},
        "default": {"settings": {"window_bars": 30}, "budget_us": 9e9, "version": 3},
        "set": {"settings": {"window_bars": 31}},
    }
    policies = {
        key: RiskPolicy.parse({"calculators": {"worst": {"use": use, **entry}}}, imports=True)
        for key, entry in entries.items()
    }
    assert policies["plain"].parts == {f"{use}@3": {}}
    assert policies["plain"].versions["worst"] == 3
    assert policies["plain"].digest() == policies["default"].digest() != RiskPolicy().digest()
    assert policies["set"].parts == {f"{use}@3": {"window_bars": 31}}
    off = {"calculators": {"worst": {"use": use, "enabled": False}}}
    assert RiskPolicy.parse(off).digest() == RiskPolicy().digest()
    newer = json.loads(policies["plain"].canonical_json())
    newer["calculators"]["worst"]["version"] = 4
    assert RiskPolicy.parse(newer).digest() != policies["plain"].digest()


def test_curve_under_a_policy_with_a_calculator_from_outside_needs_none_of_it() -> None:
    described = {"use": "somewhere:WORST", "version": 3, "metrics": {"worst_return": "1"}}
    policy = RiskPolicy.parse({"calculators": {"worst": described}})
    values, times = np.linspace(100.0, 90.0, 30), 60.0 * np.arange(30, dtype=np.float64)
    assert summarize_curve(values, times, policy) == summarize_curve(values, times)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": {"window_bars": 8}}, "calculators.worst.settings.window_bars changes"),
        ({"version": 4}, "calculators.worst.version changes"),
        ({"use": "elsewhere:WORST"}, "calculators.worst.use changes"),
    ],
)
def test_policy_that_calculates_a_halting_metric_otherwise_loosens_it(
    change: dict[str, Any], said: str
) -> None:
    described = {
        "use": "somewhere:WORST",
        "version": 3,
        "metrics": {"worst_return": "1"},
        "settings": {"window_bars": 9},
    }
    old, new = (
        RiskPolicy.parse({"calculators": {"worst": {**described, **other}}, "rules": RULES})
        for other in ({}, change)
    )
    assert loosens(old, old) == []
    assert said in loosens(old, new)[0]


def test_policy_with_the_calculator_itself_needs_no_name() -> None:
    policy = RiskPolicy.parse({"calculators": {"worst": {"use": WORST}}})
    report = RiskAgentV2(policy).calculate_only(RiskInputs(returns=np.full(3, -0.25)))
    assert report.metric_values["worst_return"] == 0.25
