"""A digest is of what is named: it stays when parts are added, and changes with what they give."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import Field

from tradewind.errors import SettingsError
from tradewind.identity import Identity, stated
from tradewind.market import (
    Costs,
    FeaturePipeline,
    FeatureSpec,
    Instrument,
    TradingTerms,
    load_sample,
    split_bars,
)
from tradewind.market import features as features_module
from tradewind.risk import RiskPolicy
from tradewind.risk import policy as policy_module
from tradewind.risk import settings as settings_module
from tradewind.risk.calculators import CALCULATORS, CalculatorSettings
from tradewind.settings import Settings
from trainer_service.environment import EnvironmentConfig

SHIPPED = Path("config/risk_limits.yaml")
RICH = Path("tests/contract/releases/0.1/risk_policy.yaml")


class Inner(Settings):
    depth: int = 3


class Before(Settings):
    window: int = 8
    share: float = 0.5
    inner: Inner = Inner()
    names: tuple[str, ...] = ()
    method: Literal["a", "b"] = "a"
    secret: bool = Field(default=False, exclude=True)


class LaterInner(Inner):
    width: int | None = None


class Later(Before):
    """A release later: fractions where whole numbers were, and settings that were not there."""

    window: float = 8.0  # type: ignore[assignment]
    inner: LaterInner = LaterInner()
    limits: Mapping[str, float] = Field(default_factory=dict)
    other: Inner | None = None


@pytest.mark.parametrize(
    "values",
    [{}, {"window": 9}, {"share": 1}, {"inner": {"depth": 4}}, {"names": ["x"]}, {"method": "b"}],
)
def test_stated_with_settings_that_came_later_says_what_it_said_before(
    values: dict[str, Any],
) -> None:
    assert stated(Later(**values)) == stated(Before(**values)) == values


def test_stated_of_equal_numbers_is_the_same_and_of_others_is_not() -> None:
    assert stated(Before(share=2)) == stated(Before(share=2.0)) == {"share": 2}
    zeros = [json.dumps(stated(Before(share=value))) for value in (0.0, -0.0)]
    assert zeros[0] != zeros[1]
    assert stated(Before(secret=True)) == {}


def test_digest_with_another_order_of_parts_and_settings_is_the_same() -> None:
    one = Identity("a", {"x@1": {"p": 1, "q": 2}, "y@1": {}})
    two = Identity("a", {"y@1": {}, "x@1": {"q": 2, "p": 1}})
    assert one.digest == two.digest
    others = [
        Identity("b", one.parts),
        Identity("a", {"x@2": {"p": 1, "q": 2}, "y@1": {}}),
        Identity("a", {"x@1": {"p": 1, "q": 2}}),
        Identity("a", {"x@1": {"p": 1, "q": 3}, "y@1": {}}),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 5


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"x@2": {"p": 1}}, "x has version 2 there and 1 here: another formula"),
        ({"x@1": {"p": 1}, "z@1": {}}, "z takes part there only"),
        ({}, "x takes part here only"),
        ({"x@1": {"p": 1, "q": {"r": 2}}}, 'x.q is {"r":2} there and its default here'),
        ({"x@1": {}}, "x.p is its default there and 1 here"),
    ],
)
def test_match_with_other_parts_says_what_differs(parts: dict[str, Any], reason: str) -> None:
    here = Identity("a", {"x@1": {"p": 1}}, former="f")
    match = here.match(Identity("a", parts).digest, parts)
    assert (match.same, match.reason) == (False, reason)


def test_match_of_the_former_form_holds_while_every_formula_is_the_first() -> None:
    here = Identity("a", {"x@1": {}, "y@1": {}}, former="f")
    assert here.match("f", None) == here.match_former()
    assert (here.match("f", None).same, here.match("f", None).former) == (True, True)
    changed = replace(here, parts={"x@1": {}, "y@3": {}})
    assert changed.match("f", None).reason == ("y has version 1 there and 3 here: another formula")
    assert "its digest is g" in here.match("g", None).reason
    assert "is not the digest of the parts beside it" in here.match("g", {"x@1": {}}).reason


class ExtraSettings(CalculatorSettings):
    window: int = 5


EXTRA = replace(
    CALCULATORS[0], name="extra", settings=ExtraSettings, metrics=lambda _: {"extra_metric": ""}
)


@pytest.fixture
def _one_more_calculator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later release: one calculator more, on by default."""
    of = policy_module.CalculatorsSettings.of
    for module in (policy_module, settings_module):
        monkeypatch.setattr(module, "CALCULATORS", (EXTRA, *CALCULATORS))
    monkeypatch.setattr(
        policy_module.CalculatorsSettings,
        "of",
        lambda self, each: ExtraSettings() if each is EXTRA else of(self, each),
    )
    monkeypatch.setattr(policy_module.CalculatorsSettings, "extra", ExtraSettings(), raising=False)


@pytest.fixture
def policies() -> list[RiskPolicy]:
    return [RiskPolicy.from_yaml(SHIPPED), RiskPolicy.from_yaml(RICH), RiskPolicy()]


def digests(policies: list[RiskPolicy]) -> list[tuple[str, str | None]]:
    return [(policy.digest(), policy.identity.former) for policy in policies]


def test_digest_of_a_policy_with_one_more_calculator_in_the_release_is_the_same(
    policies: list[RiskPolicy], request: pytest.FixtureRequest
) -> None:
    before = digests(policies)
    request.getfixturevalue("_one_more_calculator")
    assert digests(policies) == before
    assert "extra" in policies[0].versions


@pytest.mark.parametrize("name", [calculator.name for calculator in CALCULATORS])
def test_digest_of_a_policy_changes_with_the_version_of_what_decides_and_of_nothing_else(
    policies: list[RiskPolicy], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [(policy.digest(), policy.identity) for policy in policies]
    raised = [replace(each, version=2) if each.name == name else each for each in CALCULATORS]
    monkeypatch.setattr(policy_module, "CALCULATORS", tuple(raised))
    for policy, (digest, identity) in zip(policies, before, strict=True):
        takes_part = f"{name}@1" in identity.parts
        assert (policy.digest() != digest) is takes_part
        match = policy.identity.match(digest, identity.parts)
        assert match.formulas == (
            (f"{name} has version 1 there and 2 here: another formula",) if takes_part else ()
        )
        # A bundle of release 0.1 was trained by the first version, whatever it says.
        assert policy.identity.match(str(identity.former), None).same is not takes_part


def test_digest_counts_a_calculator_that_others_go_by() -> None:
    turnover = RiskPolicy.parse({"limits": {"hourly_turnover": {"limit": 1.0}}})
    assert {"turnover@1", "feed_staleness@1"} <= turnover.parts.keys()
    assert "var@1" not in turnover.parts


def mutations(value: Any) -> Iterator[Any]:
    """Values beside the one that a setting has."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value * 0.5, -value)
    elif isinstance(value, str):
        named = ("parametric", "historical", "auto", "WARN", "BLOCK", "HALT", "info", "critical")
        yield from (*named, "max_drawdown", "current_drawdown", "05:00", f"{value}_x")
    elif value is None:
        yield from (0.25, 2, "BLOCK", {"start": "01:00", "end": "02:00"})
    elif isinstance(value, dict):
        for key, item in value.items():
            yield {name: other for name, other in value.items() if name != key}
            yield from ({**value, key: other} for other in mutations(item))
            yield {**value, f"{key}_x": item}
    elif isinstance(value, list):
        yield from ([*value, *value[:1]], value[::-1], value[:-1])
        for at, item in enumerate(value):
            yield from ([*value[:at], other, *value[at + 1 :]] for other in mutations(item))


def test_digest_of_a_policy_with_any_setting_changed_is_another() -> None:
    policy = RiskPolicy.from_yaml(RICH)
    known = {policy.digest(): policy.canonical_json()}
    changed = 0
    for values in mutations(json.loads(policy.canonical_json())):
        try:
            other = RiskPolicy.parse(values)
        except SettingsError:
            continue
        changed += other != policy
        # Equal digests are those of policies that are equal to the last setting.
        assert known.setdefault(other.digest(), other.canonical_json()) == other.canonical_json()
    assert changed > 150


def spec_mutations() -> Iterator[FeatureSpec]:
    base = FeatureSpec()
    yield base
    for off in (
        {},
        {"ema_periods": ()},
        {"position": False},
        {"volatility_windows": (), "rsi_period": None, "vwap_window": None, "time_of_day": False},
    ):
        values = base.model_copy(update=off).model_dump()
        for name, value in values.items():
            for other in mutations(list(value) if isinstance(value, tuple) else value):
                try:
                    yield FeatureSpec(**{**values, name: other})
                except ValueError:
                    continue


def test_digest_of_features_is_equal_only_where_every_observation_is() -> None:
    bars, _ = split_bars(load_sample("BTC"), 0.98)
    known: dict[str, tuple[FeatureSpec, object]] = {}
    shared = 0
    for spec in spec_mutations():
        observed: object = None
        if spec.interval_ns == bars.interval_ns and spec.lookback < len(bars):
            rows = FeaturePipeline(spec).transform(bars)
            held = spec.position and spec.holding_cap_bars
            observed = (spec.component_names, spec.lookback, held, rows.tobytes())
        first, seen = known.setdefault(spec.digest, (spec, observed))
        if first != spec:
            shared += 1
            assert seen is not None
            assert seen == observed
    assert shared  # settings of groups that are left out make no difference
    assert len(known) > 40


def test_digest_of_features_with_one_more_setting_in_the_release_is_the_same() -> None:
    class Later(FeatureSpec):
        momentum_window: int | None = None

    for spec in (FeatureSpec(), FeatureSpec(rsi_period=None, scale=50)):
        later = Later(**spec.model_dump(mode="json"))
        assert (later.digest, later.identity.former) == (spec.digest, spec.identity.former)
        with_it = later.model_copy(update={"momentum_window": 5})
        assert with_it.digest != spec.digest
        assert with_it.identity.former is None


def test_digest_of_features_changes_with_the_version_of_a_group_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, without = FeatureSpec(), FeatureSpec(rsi_period=None)
    before = spec.digest, without.digest
    groups = features_module.BUILT_IN_GROUPS
    raised = [group._replace(version=2) if group.name == "rsi" else group for group in groups]
    monkeypatch.setattr(features_module, "BUILT_IN_GROUPS", tuple(raised))
    assert spec.digest != before[0]
    assert without.digest == before[1]


@pytest.mark.parametrize("name", TradingTerms.model_fields)
def test_digest_of_trading_terms_changes_with_any_of_them_and_with_nothing_else(name: str) -> None:
    terms = TradingTerms()
    values = {
        "actions": "continuous",
        "allow_short": True,
        "sized_at": "close",
        "instruments": (Instrument(lot=0.1),),
        "costs": Costs(spread=0.001),
    }
    other = terms.model_copy(update={name: values.get(name) or getattr(terms, name) * 1.5})
    assert other.identity.digest != terms.identity.digest
    environment = EnvironmentConfig(episode_bars=5, reward_scale=1.0)
    assert environment.identity.digest == terms.identity.digest


def test_digest_of_numbers_at_random_tells_them_apart() -> None:
    numbers = np.random.default_rng(1).normal(size=200)
    drawn = {Identity("a", {"x@1": {"limit": float(number)}}).digest for number in numbers}
    assert len(drawn) == 200
