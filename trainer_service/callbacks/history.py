"""What a model logged while it learnt, kept as series."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from stable_baselines3.common.logger import KVWriter

__all__ = ["MetricHistory", "MetricSeries", "finite_numbers"]


def finite_numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """What of a log can be drawn or sent; a figure without a value is left out."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, (int, float, np.number)) and math.isfinite(value)
    }


@dataclass(eq=False)
class MetricSeries:
    """One figure over the course of a training.

    Attributes:
        steps: Environment steps at which it was logged.
        values: What it was. As many as `steps`.
    """

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class MetricHistory(KVWriter):
    """Keeps every finite number that Stable-Baselines3 logs, by name.

    Whatever a callback records under a name of its own becomes a series.
    """

    def __init__(self) -> None:
        self._series: dict[str, MetricSeries] = {}

    @property
    def series(self) -> Mapping[str, MetricSeries]:
        """The series by name, such as "rollout/ep_rew_mean"."""
        return self._series

    def get_state(self) -> dict[str, MetricSeries]:
        """The series so far."""
        return copy.deepcopy(self._series)

    def set_state(self, state: dict[str, MetricSeries]) -> None:
        """Goes on from those series."""
        self._series = copy.deepcopy(state)

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],  # noqa: ARG002 - the interface of KVWriter
        step: int = 0,
    ) -> None:
        """Takes over what the logger dumps."""
        for name, value in finite_numbers(key_values).items():
            series = self._series.setdefault(name, MetricSeries())
            series.steps.append(step)
            series.values.append(value)

    def close(self) -> None:
        """Has nothing to close."""
