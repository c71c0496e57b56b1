"""From metrics to one action and the breaches that led to it."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tradewind.risk.inputs import END_OF_TIME_S
from tradewind.risk.rules.actions import Action, Severity
from tradewind.risk.rules.conditions import Condition, Finding, compile_condition
from tradewind.risk.rules.readings import Readings
from tradewind.risk.rules.settings import ActiveHours, RuleSettings
from tradewind.risk.rules.truth import Truth, all_of
from tradewind.risk.rules.window import WindowState, observe

__all__ = ["Breach", "RuleEngine", "RuleOutcome"]

_SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Breach:
    """One threshold of a rule that demands its action.

    Attributes:
        rule: Name of the rule.
        metric: The metric.
        value: Its value; None when unavailable.
        limit: What it was compared with.
        headroom: limit − value in the metric's unit, negative when over; None when the value is
            unavailable, or so far off that a double cannot hold the difference.
        action: What the rule demands.
        severity: How urgently a person should look at it.
        shadow: Recorded, not enforced.
        reason: Why, for people.
    """

    rule: str
    metric: str
    value: float | None
    limit: float
    headroom: float | None
    action: Action
    severity: Severity
    shadow: bool
    reason: str


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What the rules say of one evaluation.

    Attributes:
        action: The most severe action that an enforced rule demands; ALLOW when none does.
        decisive: The enforced breaches that demand `action`.
        breaches: All of them, shadow rules included, in the order of the rules.
        windows: What the rules with a window remember for the next evaluation.
    """

    action: Action
    decisive: tuple[Breach, ...]
    breaches: tuple[Breach, ...]
    windows: Mapping[str, WindowState]


class _Rule:
    """One rule, its limits resolved; `note` says where they are from, if not from the policy."""

    def __init__(self, settings: RuleSettings, condition: Condition, note: str = "") -> None:
        self.settings = settings
        self.condition = condition
        self.note = note
        self.active = settings.active_utc
        # A rule that is edited starts with an empty window: what the old one saw says nothing.
        definition = f"{condition} {settings.window!r}".encode()
        self.window_key = f"{settings.name}:{hashlib.sha256(definition).hexdigest()[:12]}"

    def breaches(self, readings: Readings, truth: Truth, note: str) -> Iterator[Breach]:
        """What made the rule hold; every threshold of it when none does at this evaluation."""
        rule = self.settings
        action = rule.action
        if truth is Truth.UNKNOWN and rule.unavailable_action is not None:
            action = rule.unavailable_action
        findings: Sequence[Finding] = tuple(self.condition.findings(readings)) or tuple(
            threshold.finding(readings) for threshold in self.condition.thresholds()
        )
        for finding in findings:
            limit, value = finding.threshold.limit, finding.value
            headroom = math.nan if value is None else limit - value
            yield Breach(
                rule=rule.name,
                metric=finding.threshold.metric,
                value=value,
                limit=limit,
                headroom=headroom if math.isfinite(headroom) else None,
                action=action,
                severity=rule.severity,
                shadow=rule.shadow,
                reason=finding.reason + note + self.note,
            )


class RuleEngine:
    """Evaluates the rules of one policy; holds no state of its own.

    Args:
        rules: Rules that `check_rules` passed with these limits.
        limits: The policy's limits by metric, for thresholds that name none.
        overlay: Rules and limits that hold beside these; what is equal in both counts once.
    """

    def __init__(
        self,
        rules: Sequence[RuleSettings],
        limits: Mapping[str, float],
        overlay: tuple[Sequence[RuleSettings], Mapping[str, float]] = ((), {}),
    ) -> None:
        own = [_Rule(rule, compile_condition(rule.when, limits)) for rule in rules]
        stricter = [
            _Rule(rule, compile_condition(rule.when, overlay[1]), "; by the overlay")
            for rule in overlay[0]
        ]
        known = {rule.window_key for rule in own}
        self._rules = (*own, *(rule for rule in stricter if rule.window_key not in known))

    def describe(self) -> list[str]:
        """Each rule's name and condition, its limits resolved."""
        return [f"{rule.settings.name}: {rule.condition}{rule.note}" for rule in self._rules]

    def evaluate(
        self, readings: Readings, now: float | None, windows: Mapping[str, WindowState]
    ) -> RuleOutcome:
        """Applies every rule.

        A rule demands its action unless it is certain that it does not hold: a metric that is
        unavailable, or a time that is missing where the rule needs it, counts against the caller.

        Args:
            readings: The metrics.
            now: The caller's clock in seconds since the epoch; None, not finite or in another unit
                when missing.
            windows: `windows` of the account's previous outcome; empty at first.
        """
        if now is not None and not abs(now) < END_OF_TIME_S:
            now = None
        breaches: list[Breach] = []
        remembered: dict[str, WindowState] = {}
        for rule in self._rules:
            truth = rule.condition.truth(readings)
            note = ""
            if rule.settings.window is not None:
                state = windows.get(rule.window_key, WindowState())
                if truth is not Truth.NOT_APPLICABLE:
                    truth, state = observe(rule.settings.window, state, truth, now)
                    note = _window_note(rule.settings, now)
                remembered[rule.window_key] = state
            if rule.active is not None and truth.triggers:
                truth = all_of((truth, _is_active(rule.active, now)))
                note += "" if now is not None else "; now is missing, so the rule counts as active"
            if truth.triggers:
                breaches.extend(rule.breaches(readings, truth, note))
        enforced = [breach for breach in breaches if not breach.shadow]
        action = max((breach.action for breach in enforced), default=Action.ALLOW)
        decisive = tuple(breach for breach in enforced if breach.action is action)
        return RuleOutcome(action, decisive, tuple(breaches), remembered)


def _is_active(hours: ActiveHours, now: float | None) -> Truth:
    if now is None:
        return Truth.UNKNOWN
    second = now % _SECONDS_PER_DAY
    if hours.start_s < hours.end_s:
        active = hours.start_s <= second < hours.end_s
    else:
        active = second >= hours.start_s or second < hours.end_s
    return Truth.TRUE if active else Truth.FALSE


def _window_note(rule: RuleSettings, now: float | None) -> str:
    assert rule.window is not None
    if rule.window.seconds is None:
        extent = f"{rule.window.evaluations} evaluations"
    else:
        extent = f"{rule.window.seconds:g} s"
    missing = "; now is missing" if rule.window.seconds is not None and now is None else ""
    return f"; at least {rule.window.at_least} in the last {extent}{missing}"
