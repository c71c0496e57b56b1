"""The risk policy: calculators with their settings, and the limits on their metrics."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from tradewind.errors import FieldViolation, RiskPolicyError
from tradewind.files import read_file
from tradewind.identity import Identity, Parts, part_key, stated
from tradewind.risk.calculators.registry import CALCULATORS
from tradewind.risk.former import former_digest, former_values
from tradewind.risk.outside.entry import IMPORTS
from tradewind.risk.pretrade import PRE_TRADE_METRICS, PreTradeLimits
from tradewind.risk.rules import Action, RuleSettings, check_rules
from tradewind.risk.rules.conditions import Threshold, compile_condition
from tradewind.risk.rules.implication import implies
from tradewind.risk.settings import CalculatorsSettings
from tradewind.settings import Settings, ends_with_its_end, parse_settings, settings_from_text
from tradewind.shipped import shipped_or_own

__all__ = ["CalculatorsSettings", "LimitSettings", "RiskPolicy", "end_violations"]

_KIND: Final = "risk policy"
_LIMITS_VERSION: Final = 1  # of risk_score and penalty
_PRE_TRADE_VERSION: Final = 1  # of how an account after an order is calculated
_RULES_VERSION: Final = 1  # of when a rule holds, and what it then demands

_NO_END = (
    "missing: what follows may have been cut off. If the file is whole, add the line `...`, YAML's "
    "mark of a document's end, as its last one"
)
_NO_RULES = (
    "none: such a policy enforces nothing. Give it rules, or say `monitor_only: true` if it is for "
    "metrics alone, as in training"
)


class LimitSettings(Settings):
    """Limit on one metric."""

    limit: float = Field(gt=0)
    """Utilisation is metric / limit: 1 at the limit."""

    weight: float = Field(default=1.0, ge=0)
    """Weight of this utilisation in the penalty; 0 keeps it out of the reward."""


class RiskPolicy(Settings):
    """What is calculated, how, and within which limits; immutable, identified by its digest."""

    calculators: CalculatorsSettings = CalculatorsSettings()
    """What is calculated, and how."""

    limits: Mapping[str, LimitSettings] = Field(default_factory=dict)
    """By metric: what risk_score and penalty are relative to."""

    pre_trade: PreTradeLimits = PreTradeLimits()
    """Limits on an intended order and on the account after it."""

    rules: tuple[RuleSettings, ...] = ()
    """What Evaluate demands, and when."""

    monitor_only: bool = Field(default=False, exclude=True)
    """Says that the policy has no rules on purpose: what it limits is measured, nothing enforced.
    A file without rules is refused otherwise. No part of the digest: it calculates nothing."""

    @model_validator(mode="after")
    def _check_limits(self) -> "RiskPolicy":
        known = self.calculators.metrics()
        unknown = [metric for metric in self.limits if metric not in known]
        if unknown:
            message = f"no enabled calculator gives this metric; there are {', '.join(known)}"
            raise ValidationError.from_exception_data(
                "limits",
                [
                    InitErrorDetails(
                        type=PydanticCustomError("limit", "{problem}", {"problem": message}),
                        loc=("limits", metric),
                        input=None,
                    )
                    for metric in unknown
                ],
            )
        return self

    @model_validator(mode="after")
    def _check_rules(self) -> "RiskPolicy":
        metrics = {*self.calculators.metrics(), *PRE_TRADE_METRICS}
        check_rules(self.rules, self.rule_limits(), metrics, PRE_TRADE_METRICS)
        return self

    @field_validator("monitor_only")
    @classmethod
    def _check_monitor_only(cls, monitor_only: bool, info: ValidationInfo) -> bool:
        if monitor_only and info.data.get("rules"):
            raise ValueError("is for a policy without rules; this one has some")
        return monitor_only

    @classmethod
    def from_yaml(cls, path: Path | str) -> "RiskPolicy":
        """Reads a policy file, and imports the calculators from outside that it names.

        What reads a file that a request or a store names does so behind
        `tradewind.components.closed_doors`.

        Raises:
            RiskPolicyError: The file cannot be read, is not whole (see `from_text`), or a setting
                is refused; each with its line.
        """
        try:
            text = read_file(shipped_or_own(path))
        except OSError as problem:
            raise RiskPolicyError(f"cannot read {path}: {problem.strerror}") from None
        return cls.from_text(text, str(path))

    @classmethod
    def from_text(cls, text: bytes, source: str) -> "RiskPolicy":
        """Reads the content of a policy file; only the whole of it is a policy.

        The beginning of a block of YAML is a block of YAML, with fewer rules. So the text ends with
        the line `...`, YAML's mark of a document's end (a text in braces ends with its brace), and
        has rules, or says `monitor_only: true`.

        Args:
            text: The content, in UTF-8.
            source: What it is called in an error.

        Raises:
            RiskPolicyError: The text is not YAML or not whole, or a setting is refused; each with
                its line.
        """
        policy = settings_from_text(text, source, cls, error=RiskPolicyError, context=IMPORTS)
        violations = end_violations(text)
        if not policy.rules and not policy.monitor_only:
            violations.append(FieldViolation("rules", _NO_RULES))
        if violations:
            raise RiskPolicyError(f"{source} is refused", violations)
        return policy

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, imports: bool = False) -> "RiskPolicy":
        """Validates a policy that is already a mapping.

        Args:
            values: The policy, such as `canonical_json` wrote it.
            imports: Whether the calculators from outside that it names are imported. Without, those
                that `canonical_json` has described are kept, and their metrics are unavailable.

        Raises:
            RiskPolicyError: A setting is unknown, missing, of the wrong type or out of range.
        """
        context = IMPORTS if imports else None
        source = "risk policy"
        return parse_settings(values, cls, source=source, error=RiskPolicyError, context=context)

    def rule_limits(self) -> dict[str, float]:
        """Every limit that a rule may refer to, by metric."""
        limits = {metric: settings.limit for metric, settings in self.limits.items()}
        return {**limits, **self.pre_trade.by_metric()}

    def unenforced_limits(self) -> dict[str, str]:
        """The limits at which no rule does anything, each with why; by the path of the limit.

        A limit is enforced when an enforced rule that demands more than WARN holds wherever the
        limit is exceeded. Those of `limits` that are not still count in risk_score and penalty.
        """
        limits = self.rule_limits()
        rules = [
            (rule, compile_condition(rule.when, limits))
            for rule in self.rules
            if rule.action > Action.WARN
        ]
        found = {}
        for metric, limit in limits.items():
            exceeded = Threshold(metric, limit)
            holding = [rule for rule, condition in rules if implies(exceeded, condition)]
            if not any(not rule.shadow for rule in holding):
                path = metric if metric in PRE_TRADE_METRICS else f"limits.{metric}"
                names = ", ".join(rule.name for rule in holding)
                found[path] = (
                    f"only recorded by shadow rules ({names})"
                    if holding
                    else "no rule that demands more than WARN holds when it is exceeded"
                )
        return found

    def canonical_json(self) -> str:
        """The policy with every default spelled out, keys sorted: equal policies, equal text."""
        values = self.model_dump(mode="json", by_alias=True)
        return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def parts(self) -> Parts:
        """What the policy is identified by (`tradewind.identity`).

        A calculator takes part when it is set otherwise than by default, switched off too, or when
        a limit or a rule is on a metric of it or of one that goes by its clock skew. One that is on
        by default and that nothing refers to is reported and decides nothing, so it is no part.
        """
        parts: dict[str, Any] = {}
        deciding = self._deciding
        for calculator in CALCULATORS:
            differing = stated(self.calculators.of(calculator))
            if differing or calculator.name in deciding:
                parts[part_key(calculator.name, calculator.version)] = differing
        for entry in self.calculators.outside.values():
            parts[part_key(entry.part, entry.version or 0)] = dict(entry.settings)
        sections = {
            part_key("limits", _LIMITS_VERSION): {
                metric: stated(limit) for metric, limit in self.limits.items()
            },
            part_key("pre_trade", _PRE_TRADE_VERSION): stated(self.pre_trade),
            part_key("rules", _RULES_VERSION): [stated(rule) for rule in self.rules],
        }
        return parts | {name: content for name, content in sections.items() if content}

    def digest(self) -> str:
        """SHA-256 over the parts, in hexadecimal."""
        return Identity(_KIND, self.parts).digest

    @property
    def identity(self) -> Identity:
        """The parts, and the digest that release 0.1 would have given."""
        parts = self.parts
        values = former_values(self.model_dump(mode="json", by_alias=True))
        try:
            sayable = RiskPolicy.model_validate(values).parts == parts
        except ValidationError:
            sayable = False
        return Identity(_KIND, parts, former_digest(values) if sayable else None)

    def has_digest(self, digest: str | None) -> bool:
        """Whether a digest that was kept somewhere, by release 0.1 too, is that of this policy."""
        return digest is not None and self.identity.match(digest, None).same

    @property
    def versions(self) -> dict[str, int]:
        """Version of each calculator that is on, whether it takes part or not."""
        return {each.name: each.version for each in self.calculators.enabled()}

    @property
    def _deciding(self) -> frozenset[str]:
        """Calculators that limits and rules refer to, and those that they depend on."""
        thresholds = (part.metric for rule in self.rules for part in rule.when.thresholds())
        metrics = {*self.limits, *thresholds}
        found = [
            calculator
            for calculator in CALCULATORS
            if not metrics.isdisjoint(calculator.metrics(self.calculators.of(calculator)))
        ]
        read = {path.partition(".")[0] for calculator in found for path in calculator.reads}
        return frozenset({calculator.name for calculator in found} | read)


def end_violations(text: bytes) -> list[FieldViolation]:
    """What is wrong with the end of a file of which only the whole counts."""
    return [] if ends_with_its_end(text) else [FieldViolation("the end of the file", _NO_END)]
