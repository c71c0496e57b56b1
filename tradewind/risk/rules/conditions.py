"""Conditions as rules evaluate them, compiled from their settings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from tradewind.risk.rules.readings import Readings
from tradewind.risk.rules.settings import ConditionSettings
from tradewind.risk.rules.truth import Truth, all_of, any_of

__all__ = ["Condition", "Finding", "Threshold", "compile_condition"]


_NOT_APPLICABLE, _FALSE, _UNKNOWN, _TRUE = sorted(Truth)


@dataclass(frozen=True, slots=True)
class Finding:
    """A threshold that made a condition hold, or keeps it from being known.

    Attributes:
        threshold: The threshold.
        value: Value of its metric; None when unavailable.
        reason: What was found.
    """

    threshold: "Threshold"
    value: float | None
    reason: str


class Condition(Protocol):
    """Something that holds, does not hold, cannot be known or does not apply."""

    def truth(self, readings: Readings, wanted: bool = True) -> Truth:
        """Whether it is `wanted`: holds, or does not.

        What does not apply neither holds nor does its negation, so a negation goes down to the
        thresholds: `not` over `all` is what `any` over `not` is, an order beside it or none.
        """

    def findings(self, readings: Readings, wanted: bool = True) -> Iterator[Finding]:
        """The thresholds that make it `wanted`, or might."""

    def thresholds(self) -> "Iterator[Threshold]":
        """Every threshold in it."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Holds while a metric is greater than its limit."""

    metric: str
    limit: float

    def truth(self, readings: Readings, wanted: bool = True) -> Truth:
        """Whether it is `wanted`."""
        if self.metric in readings.not_applicable:
            return _NOT_APPLICABLE
        value = readings.value(self.metric)
        if value is None:
            return _UNKNOWN
        return _TRUE if (value > self.limit) is wanted else _FALSE

    def findings(self, readings: Readings, wanted: bool = True) -> Iterator[Finding]:
        """Itself, when it is `wanted` or might be."""
        if self.truth(readings, wanted).triggers:
            yield self.finding(readings)

    def finding(self, readings: Readings) -> Finding:
        """What its metric is, beside its limit."""
        value = readings.value(self.metric)
        if value is None:
            reason = f"{self.metric} is unavailable: {readings.why_unavailable(self.metric)}"
        else:
            relation = "over" if value > self.limit else "not over"
            reason = f"{self.metric} {value:.6g} is {relation} {self.limit:.6g}"
        return Finding(self, value, reason)

    def thresholds(self) -> "Iterator[Threshold]":
        """Itself."""
        yield self

    def __str__(self) -> str:
        return f"{self.metric} > {self.limit!r}"


@dataclass(frozen=True, slots=True)
class Junction:
    """Holds when all of its parts do, or when any of them does."""

    parts: tuple[Condition, ...]
    needs_all: bool

    def truth(self, readings: Readings, wanted: bool = True) -> Truth:
        """Whether it is `wanted`."""
        combine = all_of if self.needs_all is wanted else any_of
        return combine(part.truth(readings, wanted) for part in self.parts)

    def findings(self, readings: Readings, wanted: bool = True) -> Iterator[Finding]:
        """Those of its parts, when it is `wanted` or might be."""
        if self.truth(readings, wanted).triggers:
            for part in self.parts:
                yield from part.findings(readings, wanted)

    def thresholds(self) -> Iterator[Threshold]:
        """Those of its parts."""
        for part in self.parts:
            yield from part.thresholds()

    def __str__(self) -> str:
        return f"({(' and ' if self.needs_all else ' or ').join(map(str, self.parts))})"


@dataclass(frozen=True, slots=True)
class Not:
    """Holds when its part does not."""

    part: Condition

    def truth(self, readings: Readings, wanted: bool = True) -> Truth:
        """Whether it is `wanted`."""
        return self.part.truth(readings, not wanted)

    def findings(self, readings: Readings, wanted: bool = True) -> Iterator[Finding]:
        """Those that keep its part from holding."""
        yield from self.part.findings(readings, not wanted)

    def thresholds(self) -> Iterator[Threshold]:
        """Those of its part."""
        yield from self.part.thresholds()

    def __str__(self) -> str:
        return f"not {self.part}"


def compile_condition(settings: ConditionSettings, limits: Mapping[str, float]) -> Condition:
    """Resolves every limit.

    Args:
        settings: The condition.
        limits: The policy's limits by metric.

    Raises:
        KeyError: A threshold has no limit of its own and the policy has none for its metric.
    """
    if settings.metric is not None:
        if settings.over is not None:
            return Threshold(settings.metric, settings.over)
        fraction = 1.0 if settings.of_limit is None else settings.of_limit
        return Threshold(settings.metric, limits[settings.metric] * fraction)
    if settings.not_ is not None:
        return Not(compile_condition(settings.not_, limits))
    parts = settings.all or settings.any or ()
    return Junction(
        tuple(compile_condition(part, limits) for part in parts), settings.all is not None
    )
