"""What must be true of the rules of a policy as a whole."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from tradewind.risk.rules.settings import RuleSettings

__all__ = ["check_rules", "rule_problems"]

Location = tuple[int | str, ...]


def check_rules(
    rules: Sequence[RuleSettings],
    limits: Mapping[str, float],
    metrics: Collection[str],
    fixed_limits: Collection[str],
) -> None:
    """Checks names, metrics and limits; to be called from a validator of the policy.

    Args:
        rules: The rules.
        limits: The policy's limits by metric.
        metrics: Every metric that a rule may name.
        fixed_limits: Metrics that may not have a limit of their own in a rule.

    Raises:
        ValidationError: Two rules have one name, a metric is unknown, or a threshold has no
            limit; the location of each begins with `rules` and the rule's index.
    """
    problems = rule_problems(rules, limits, metrics, fixed_limits)
    if problems:
        # pydantic fills {placeholders} in a message, so the text goes in as one.
        errors = [
            InitErrorDetails(
                type=PydanticCustomError("rule", "{problem}", {"problem": problem}),
                loc=location,
                input=None,
            )
            for location, problem in problems
        ]
        raise ValidationError.from_exception_data("rules", errors)


def rule_problems(
    rules: Sequence[RuleSettings],
    limits: Mapping[str, float],
    metrics: Collection[str],
    fixed_limits: Collection[str],
) -> list[tuple[Location, str]]:
    """What `check_rules` refuses: where, beginning with `rules`, and why."""
    return [
        *_repeated_names(rules),
        *(
            (("rules", index, "when"), problem)
            for index, rule in enumerate(rules)
            for problem in _threshold_problems(rule, limits, metrics, fixed_limits)
        ),
    ]


def _repeated_names(rules: Sequence[RuleSettings]) -> Iterator[tuple[Location, str]]:
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        first = seen.setdefault(rule.name, index)
        if first != index:
            yield ("rules", index, "name"), f"{rule.name!r} is also the name of rules[{first}]"


def _threshold_problems(
    rule: RuleSettings,
    limits: Mapping[str, float],
    metrics: Collection[str],
    fixed_limits: Collection[str],
) -> Iterator[str]:
    for threshold in rule.when.thresholds():
        metric = threshold.metric
        if metric not in metrics:
            known = ", ".join(sorted(metrics))
            yield f"no enabled calculator gives {metric}; there are {known}"
        elif threshold.over is not None and metric in fixed_limits:
            yield f"{metric} takes its limit from pre_trade only, so that allowed_quantity holds"
        elif threshold.over is None and metric not in limits:
            yield f"{metric} has no limit in the policy; set one, or say `over`"
