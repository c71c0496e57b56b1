"""By which formulas a log was made, where this release has others: no difference says so better."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tradewind.identity import FORMER_VERSION, Parts, changed_formulas, versions_of
from tradewind.market import FeatureSpec, TradingTerms
from tradewind.risk import RiskPolicy

__all__ = ["RiskFormulas", "other_feature_formulas", "other_trading_formulas"]


def other_trading_formulas(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Whether accounts were booked otherwise when a log was written, in words."""
    recorded = facts.get("trading_parts", {}).values()
    here = TradingTerms().identity.parts
    return tuple({text: None for parts in recorded or [None] for text in _changed(parts, here)})


def other_feature_formulas(
    facts: Mapping[str, Any], policy: str, spec: FeatureSpec
) -> tuple[str, ...]:
    """The groups of an observation that were calculated otherwise then, in words."""
    return _changed(facts.get("feature_parts", {}).get(policy), spec.parts)


def _changed(recorded: Parts | None, here: Parts) -> tuple[str, ...]:
    """What a log does not record was made by the formulas of release 0.1."""
    versions = versions_of(here)
    then = dict.fromkeys(versions, FORMER_VERSION) if recorded is None else versions_of(recorded)
    return changed_formulas(then, versions)


@dataclass(frozen=True, slots=True)
class RiskFormulas:
    """What of a risk policy's metrics can be compared with those of a log.

    Attributes:
        skipped: Metrics that were calculated otherwise, or not at all.
        with_score: Whether risk_score rests on none of them.
        said: What was calculated otherwise, in sentences.
    """

    skipped: frozenset[str]
    with_score: bool
    said: tuple[str, ...]

    @classmethod
    def of(cls, policy: RiskPolicy, facts: Mapping[str, Any]) -> "RiskFormulas":
        """Compares the formulas of a policy here with those that the facts of a log name."""
        then, here = _risk_versions(facts), policy.versions | versions_of(policy.parts)
        changed = {name for name in here.keys() & then.keys() if here[name] != then[name]}
        skipped: set[str] = set()
        said = []
        for name in policy.versions:
            if name in changed or name not in then:
                skipped.update(_metrics(policy, name))
            if name in changed:
                (formula,) = changed_formulas({name: then[name]}, here)
                said.append(f"{', '.join(_metrics(policy, name))}: {formula}")
        for metric, use in policy.calculators.not_here.items():
            skipped.add(metric)
            said.append(
                f"{metric}: calculated by {use}, and no code is imported because a log names it; "
                "give the file of the risk policy with --risk-policy"
            )
        with_score = "limits" not in changed and skipped.isdisjoint(policy.limits)
        if not with_score:
            said.append("risk_score: it rests on what is calculated otherwise here")
        return cls(frozenset(skipped), with_score, tuple(said))


def _risk_versions(facts: Mapping[str, Any]) -> dict[str, int]:
    if "risk_versions" in facts:
        return {**facts["risk_versions"], **versions_of(facts["risk_parts"])}
    calculators = json.loads(facts["risk_policy"])["calculators"]
    return dict.fromkeys([*calculators, "limits"], FORMER_VERSION)


def _metrics(policy: RiskPolicy, calculator: str) -> Iterator[str]:
    for each in policy.calculators.enabled():
        if each.name == calculator:
            yield from each.metrics
