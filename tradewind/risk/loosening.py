"""What a new risk policy takes away from the rules of an old one that end trading."""

from collections.abc import Iterator, Mapping, Sequence

from tradewind.risk.policy import RiskPolicy
from tradewind.risk.rules import (
    LATCHING_ACTIONS,
    ActiveHours,
    RuleSettings,
    WindowSettings,
)
from tradewind.risk.rules.conditions import Condition, Junction, compile_condition
from tradewind.risk.rules.implication import implies

__all__ = ["loosens"]

_SECONDS_PER_DAY = 86_400


def loosens(old: RiskPolicy, new: RiskPolicy) -> list[str]:
    """Says which HALT and LIQUIDATE rules of a policy another one drops or loosens.

    A rule is kept when enforced rules of the new policy, of whatever names, demand at least its
    action whenever it does: at its limits or lower ones, in its hours or more, with its window or
    one that fills sooner, and on metrics that are calculated as before. That is judged by the form
    of the rules, so a new one that is as strict for a reason beyond its form is named, too.

    Args:
        old: The policy in force.
        new: The policy that is to replace it.

    Returns:
        One sentence for each rule; none when the new policy is at least as strict.
    """
    before, after = _Rules(old), _Rules(new)
    found = []
    for rule in before.enforced:
        if {rule.settings.action, rule.unavailable_action} & LATCHING_ACTIONS:
            changes = "; ".join(_changes(rule, before, after))
            if changes:
                found.append(f"rule {rule}: {changes}")
    return found


class _Rule:
    """A rule with its limits resolved."""

    def __init__(self, settings: RuleSettings, condition: Condition) -> None:
        self.settings = settings
        self.condition = condition
        self.unavailable_action = settings.unavailable_action or settings.action

    def parts(self) -> Sequence[Condition]:
        """Conditions, each of which makes the rule hold: other rules may hold them apart."""
        condition = self.condition
        if self.settings.window is None and isinstance(condition, Junction):
            return (condition,) if condition.needs_all else condition.parts
        return (condition,)

    def __str__(self) -> str:
        return f"{self.settings.name} ({self.settings.action.name} when {self.condition})"


class _Rules:
    """The rules of a policy, and what their metrics are calculated with."""

    def __init__(self, policy: RiskPolicy) -> None:
        limits = policy.rule_limits()
        rules = [_Rule(rule, compile_condition(rule.when, limits)) for rule in policy.rules]
        self.by_name = {rule.settings.name: rule for rule in rules}
        self.enforced = [rule for rule in rules if not rule.settings.shadow]
        self._calculators = policy.calculators

    def settings_of(self, metric: str) -> Mapping[str, object]:
        """What a metric is calculated with, by the path of each setting."""
        for each in self._calculators.enabled():
            if metric in each.metrics:
                return each.settings
        return {}


def _changes(rule: _Rule, before: _Rules, after: _Rules) -> Iterator[str]:
    """What the new rules take away from a rule, in words."""
    if not all(
        any(_covers(other, rule, part) for other in after.enforced) for part in rule.parts()
    ):
        yield "; ".join(_differences(rule, after.by_name.get(rule.settings.name)))
    for metric in sorted({threshold.metric for threshold in rule.condition.thresholds()}):
        now = after.settings_of(metric)
        for path, value in before.settings_of(metric).items():
            if path in now and now[path] != value:
                yield f"{metric} would be calculated otherwise, calculators.{path} changes"


def _covers(new: _Rule, old: _Rule, part: Condition) -> bool:
    """Whether a new rule demands what an old one does whenever a part of its condition holds."""
    return (
        new.settings.action >= old.settings.action
        and new.unavailable_action >= old.unavailable_action
        and implies(part, new.condition)
        and _fills_as_soon(new.settings.window, old.settings.window)
        and _spans(new.settings.active_utc, old.settings.active_utc)
    )


def _fills_as_soon(new: WindowSettings | None, old: WindowSettings | None) -> bool:
    if new is None:
        return True  # it holds the first time, and what it demands is latched
    if old is None:
        return new.at_least == 1
    if (new.seconds is None) is not (old.seconds is None):
        return False
    longer = (new.seconds or new.evaluations or 0) >= (old.seconds or old.evaluations or 0)
    return new.at_least <= old.at_least and longer


def _spans(new: ActiveHours | None, old: ActiveHours | None) -> bool:
    if new is None:
        return True
    if old is None:
        return False
    length = (new.end_s - new.start_s) % _SECONDS_PER_DAY
    start = (old.start_s - new.start_s) % _SECONDS_PER_DAY
    return start + (old.end_s - old.start_s) % _SECONDS_PER_DAY <= length


def _differences(old: _Rule, new: _Rule | None) -> Iterator[str]:
    """In what the new rule of the same name is weaker."""
    if new is None:
        yield "it is dropped"
        return
    if new.settings.shadow:
        yield "it would be recorded only (shadow)"
    if new.settings.action < old.settings.action:
        yield f"it would demand {new.settings.action.name}"
    if new.unavailable_action < old.unavailable_action:
        yield (
            f"without its metric it would demand {new.unavailable_action.name}, "
            f"not {old.unavailable_action.name}"
        )
    if not implies(old.condition, new.condition):
        yield f"it would hold when {new.condition}"
    window, hours = new.settings.window, new.settings.active_utc
    if window is not None and not _fills_as_soon(window, old.settings.window):
        extent = f"{window.seconds:g} s" if window.seconds else f"{window.evaluations} evaluations"
        yield f"it would need {window.at_least} in {extent}"
    if hours is not None and not _spans(hours, old.settings.active_utc):
        yield f"it would be enforced from {hours.start} to {hours.end} UTC only"
