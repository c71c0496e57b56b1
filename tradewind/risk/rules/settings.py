"""The `rules` section of the risk policy YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from tradewind.risk.rules.actions import Action, Severity
from tradewind.settings import Settings

__all__ = ["ActiveHours", "ConditionSettings", "RuleSettings", "WindowSettings"]

_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
MAX_WINDOW = 1_000


def _action_from_name(value: Any) -> Any:
    if isinstance(value, Action):
        return value
    if isinstance(value, str) and value in Action.__members__:
        return Action[value]
    raise ValueError(f"{value!r} is not an action; allowed: {', '.join(Action.__members__)}")


def _seconds_of_day(text: str) -> int:
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time of day; write 'HH:MM' or 'HH:MM:SS' in quotes")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _check_time_of_day(text: str) -> str:
    _seconds_of_day(text)
    return text


_Name = Annotated[str, WithJsonSchema({"type": "string", "enum": list(Action.__members__)})]
ActionName = Annotated[
    Action,
    BeforeValidator(_action_from_name, json_schema_input_type=_Name),
    PlainSerializer(lambda action: action.name),
]
TimeOfDay = Annotated[str, AfterValidator(_check_time_of_day)]


class ConditionSettings(Settings):
    """When a rule holds: exactly one of `metric`, `all`, `any` and `not`."""

    metric: str | None = Field(default=None, min_length=1)
    """The condition holds while this metric is greater than its limit."""

    over: float | None = None
    """The limit; that of the policy when absent."""

    of_limit: float | None = Field(default=None, gt=0.0)
    """Fraction of the policy's limit to compare with; 1 when absent."""

    all: tuple[ConditionSettings, ...] | None = Field(default=None, min_length=1)
    """Holds when each of these does."""

    any: tuple[ConditionSettings, ...] | None = Field(default=None, min_length=1)
    """Holds when one of these does."""

    not_: ConditionSettings | None = Field(default=None, alias="not")
    """Holds when this does not; `not` in the YAML."""

    @model_validator(mode="after")
    def _check_form(self) -> ConditionSettings:
        forms = {"metric": self.metric, "all": self.all, "any": self.any, "not": self.not_}
        given = [name for name, value in forms.items() if value is not None]
        if len(given) != 1:
            found = f"found {' and '.join(given)}" if given else "found none"
            raise ValueError(f"a condition has exactly one of metric, all, any and not; {found}")
        if self.metric is None and (self.over is not None or self.of_limit is not None):
            raise ValueError("over and of_limit go with metric only")
        if self.over is not None and self.of_limit is not None:
            raise ValueError("over and of_limit exclude each other")
        return self

    def thresholds(self) -> Iterator[ConditionSettings]:
        """Every condition of the form `metric` in this one, itself included."""
        if self.metric is not None:
            yield self
        elif self.not_ is not None:
            yield from self.not_.thresholds()
        else:
            for part in self.all or self.any or ():
                yield from part.thresholds()


class WindowSettings(Settings):
    """Makes a rule hold on a number of evaluations instead of on one.

    With `evaluations`, the rule holds when its condition did in at least `at_least` of the
    account's last `evaluations` evaluations, the present one included. With `seconds`, it holds
    when the condition did in at least `at_least` evaluations whose time t is in
    (now − seconds, now], the present one included.
    """

    at_least: int = Field(ge=1, le=MAX_WINDOW)
    """How many."""

    evaluations: int | None = Field(default=None, ge=1, le=MAX_WINDOW)
    """Out of how many of the last evaluations."""

    seconds: float | None = Field(default=None, gt=0.0)
    """Within how many of the last seconds by the callers' clock (`now`)."""

    @model_validator(mode="after")
    def _check_extent(self) -> WindowSettings:
        if (self.evaluations is None) == (self.seconds is None):
            raise ValueError("a window has exactly one of evaluations and seconds")
        if self.evaluations is not None and self.at_least > self.evaluations:
            raise ValueError(
                f"at_least {self.at_least} can never be reached in {self.evaluations} evaluations"
            )
        return self


class ActiveHours(Settings):
    """The part of each UTC day in which a rule is enforced: from `start` to just before `end`.

    With `start` after `end` it spans midnight.
    """

    start: TimeOfDay
    """'HH:MM' or 'HH:MM:SS'."""

    end: TimeOfDay
    """'HH:MM' or 'HH:MM:SS', not equal to start."""

    @model_validator(mode="after")
    def _check_extent(self) -> ActiveHours:
        if self.start_s == self.end_s:
            raise ValueError("start and end are equal; leave active_utc out for the whole day")
        return self

    @property
    def start_s(self) -> int:
        """Start in seconds since midnight."""
        return _seconds_of_day(self.start)

    @property
    def end_s(self) -> int:
        """End in seconds since midnight."""
        return _seconds_of_day(self.end)


class RuleSettings(Settings):
    """One rule."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,62}$")
    """Unique; it names the rule in breaches, in the audit trail and in metrics."""

    when: ConditionSettings
    """The condition."""

    action: ActionName
    """What the rule demands when it holds."""

    unavailable_action: ActionName | None = None
    """What it demands instead when a metric that it needs is unavailable, or the caller's time is:
    `action` when absent. At least as severe as BLOCK, or equal to `action`, so that a rule cannot
    be switched off by leaving a metric out."""

    severity: Severity = Severity.WARNING
    """How urgently a person should look at it."""

    shadow: bool = False
    """Recorded, not enforced."""

    window: WindowSettings | None = None
    """Makes it hold on a number of evaluations instead of on one."""

    active_utc: ActiveHours | None = None
    """Hours of the UTC day in which it is enforced; always when absent."""

    @model_validator(mode="after")
    def _check_actions(self) -> RuleSettings:
        if self.action is Action.ALLOW:
            raise ValueError("a rule cannot demand ALLOW: it is the answer when no rule holds")
        chosen = self.unavailable_action
        if chosen is not None and chosen is not self.action and chosen < Action.BLOCK:
            raise ValueError(
                f"unavailable_action {chosen.name} would let trading go on unseen; allowed: "
                f"{self.action.name}, BLOCK, HALT or LIQUIDATE"
            )
        return self
