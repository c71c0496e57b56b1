"""What rules look at."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Readings"]


@dataclass(frozen=True, slots=True)
class Readings:
    """Metrics of one evaluation; a metric that is in none of the three counts as unavailable.

    Attributes:
        values: By metric.
        unavailable: By metric: why it has no value.
        not_applicable: Metrics that say nothing here, such as those of an order when none is
            intended.
    """

    values: Mapping[str, float]
    unavailable: Mapping[str, str] = field(default_factory=dict)
    not_applicable: frozenset[str] = frozenset()

    def value(self, metric: str) -> float | None:
        """The metric's value; None when there is none or it is not finite."""
        value = self.values.get(metric)
        return value if value is not None and math.isfinite(value) else None

    def why_unavailable(self, metric: str) -> str:
        """Why `value` gave None."""
        if metric in self.values:
            return f"{self.values[metric]} is not finite"
        return self.unavailable.get(metric, "no enabled calculator gives it")
