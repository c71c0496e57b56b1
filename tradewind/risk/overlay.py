"""An overlay: limits stricter than those of a risk policy, put on while the policy is in force.

What an overlay changes is what is demanded, never what is calculated: the rules hold at its limits
too, so that the more severe demand of the two counts, and orders stay within its limits. Metrics,
risk_score and penalty are the policy's own, as they were when policies were trained under it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from tradewind.errors import FieldViolation, RiskPolicyError
from tradewind.identity import Identity, part_key, stated
from tradewind.risk.policy import RiskPolicy, end_violations
from tradewind.risk.pretrade import PRE_TRADE_METRICS, PreTradeLimits
from tradewind.risk.rules import RuleEngine, RuleSettings, rule_problems
from tradewind.risk.rules.conditions import compile_condition
from tradewind.risk.rules.implication import implies
from tradewind.settings import Settings, settings_from_text

__all__ = ["EnforcedPolicy", "RiskOverlay"]

_VERSION: Final = 1


class RiskOverlay(Settings):
    """What is stricter than in the risk policy; a file that sets nothing puts nothing on."""

    base: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Digest of the risk policy that this is for, as `tradewind risk policy` shows it. Needed with
    anything else; over another policy the overlay is refused."""

    limits: Mapping[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """By metric: limits at most as large as those of the policy, which has to have them."""

    pre_trade: PreTradeLimits = PreTradeLimits()
    """Limits on an intended order that are at most as large as those of the policy, or that it
    leaves out."""

    rules: tuple[RuleSettings, ...] = ()
    """Rules beside those of the policy, of other names."""

    @model_validator(mode="after")
    def _check_base(self) -> Self:
        if self.base is None and (self.limits or self.rules or self.pre_trade.by_metric()):
            raise ValueError("base is missing: the digest of the risk policy that this is for")
        return self

    @classmethod
    def from_text(cls, text: bytes, source: str) -> Self:
        """Reads the content of an overlay file, which has to be whole as a policy file has to.

        Raises:
            RiskPolicyError: The text is not YAML or not whole, or a setting is refused.
        """
        overlay = settings_from_text(text, source, cls, error=RiskPolicyError)
        if violations := end_violations(text):
            raise RiskPolicyError(f"{source} is refused", violations)
        return overlay

    def digest(self) -> str:
        """SHA-256 over what it sets, in hexadecimal; empty when that is nothing."""
        settings = stated(self, ("base", "limits", "pre_trade", "rules"))
        if not settings.keys() - {"base"}:
            return ""
        return Identity("risk overlay", {part_key("overlay", _VERSION): settings}).digest

    def tighten(self, policy: RiskPolicy) -> RiskPolicy:
        """The policy with the limits and rules of the overlay.

        Raises:
            RiskPolicyError: The overlay is for another policy, or does not make it stricter; every
                violation names its field.
        """
        if not self.digest():
            return policy
        if self.base != policy.digest():
            said = f"{self.base} is not the policy it would be put on, {policy.digest()}"
            raise RiskPolicyError("the overlay is refused", [FieldViolation("base", said)])
        violations = [*self._looser(policy)]
        if violations:
            raise RiskPolicyError("the overlay is refused", violations)
        limits = {
            metric: settings.model_copy(update={"limit": self.limits.get(metric, settings.limit)})
            for metric, settings in policy.limits.items()
        }
        own = {name: limit for name, limit in self.pre_trade if limit is not None}
        tightened = policy.model_copy(
            update={
                "limits": limits,
                "pre_trade": policy.pre_trade.model_copy(update=own),
                "rules": (*policy.rules, *self.rules),
            }
        )
        violations = [*self._rule_problems(policy, tightened), *_loosened(policy, tightened)]
        if violations:
            raise RiskPolicyError("the overlay is refused", violations)
        return tightened

    def _looser(self, policy: RiskPolicy) -> Iterator[FieldViolation]:
        there = {f"limits.{metric}": item.limit for metric, item in policy.limits.items()}
        there |= policy.pre_trade.by_metric()
        here = {f"limits.{metric}": limit for metric, limit in self.limits.items()}
        here |= self.pre_trade.by_metric()
        for path, limit in here.items():
            if path not in there and path not in PRE_TRADE_METRICS:
                yield FieldViolation(
                    path, "the policy has no such limit to tighten; add a rule with `over`"
                )
            elif limit > there.get(path, limit):
                said = f"{limit:g} is looser than the {there[path]:g} of the policy"
                yield FieldViolation(path, f"{said}; an overlay may only be stricter")

    def _rule_problems(self, policy: RiskPolicy, tightened: RiskPolicy) -> Iterator[FieldViolation]:
        names = {rule.name for rule in policy.rules}
        for index, rule in enumerate(self.rules):
            if rule.name in names:
                yield FieldViolation(
                    f"rules[{index}].name", f"{rule.name!r} is the name of a rule of the policy"
                )
        metrics = {*policy.calculators.metrics(), *PRE_TRADE_METRICS}
        limits = tightened.rule_limits()
        for where, problem in rule_problems(self.rules, limits, metrics, PRE_TRADE_METRICS):
            yield FieldViolation(f"rules[{where[1]}].{where[2]}", problem)


def _loosened(policy: RiskPolicy, tightened: RiskPolicy) -> Iterator[FieldViolation]:
    """Limits below which a rule would hold less often: those of a negated condition."""
    before, after = policy.rule_limits(), tightened.rule_limits()
    for rule in policy.rules:
        condition, stricter = (compile_condition(rule.when, limits) for limits in (before, after))
        if not implies(condition, stricter):
            for metric in sorted({threshold.metric for threshold in condition.thresholds()}):
                if before.get(metric) != after.get(metric):
                    yield FieldViolation(
                        metric if metric in PRE_TRADE_METRICS else f"limits.{metric}",
                        f"a lower limit would loosen the rule {rule.name}, which would hold when "
                        f"{stricter}",
                    )


@dataclass(frozen=True)
class EnforcedPolicy:
    """A risk policy with what is put on it.

    Attributes:
        policy: The policy, which everything is calculated under.
        overlay: What is put on it; one that sets nothing for none.

    Raises:
        RiskPolicyError: The overlay does not make the policy stricter.
    """

    policy: RiskPolicy
    overlay: RiskOverlay = field(default_factory=RiskOverlay)

    def __post_init__(self) -> None:
        self.tightened  # noqa: B018  refused here, and not at the first evaluation

    @cached_property
    def tightened(self) -> RiskPolicy:
        """The policy with the overlay's limits and rules: what orders are held against."""
        return self.overlay.tighten(self.policy)

    @cached_property
    def overlay_digest(self) -> str:
        """Digest of the overlay; empty for none."""
        return self.overlay.digest()

    def rule_engine(
        self, of: Callable[[RiskPolicy], tuple[RuleSettings, ...]] = lambda policy: policy.rules
    ) -> RuleEngine:
        """Applies the rules at the policy's limits and at the overlay's.

        Both, so that no window that a rule has begun to fill begins anew, and an overlay can never
        loosen anything.

        Args:
            of: Gives the rules of a policy to apply; all of them by default.
        """
        base, tightened = self.policy, self.tightened
        return RuleEngine(
            of(base),
            base.rule_limits(),
            overlay=(of(tightened), tightened.rule_limits()),
        )
