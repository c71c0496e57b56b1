"""Constraints on risk: multipliers that rise while a policy breaks a limit, and fall afterwards.

The policy maximises its return minus multiplier × metric / limit of every constraint: the
Lagrangian of a constrained Markov decision process (Altman, 1999). The multipliers follow the
violation with a proportional and an integral part (Stooke, Achiam and Abbeel, Responsive Safety in
Reinforcement Learning by PID Lagrangian Methods, 2020).
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from tradewind.settings import Settings

__all__ = ["LagrangianConfig", "Multipliers"]

FloatArray = NDArray[np.float64]


class LagrangianConfig(Settings):
    """Limits that training must keep, and how hard it tries."""

    constraints: dict[str, PositiveFloat] = Field(min_length=1)
    """The most that a metric of the risk policy may be at the end of an episode, as a mean over
    episodes, e.g. `max_drawdown: 0.1`."""

    integral: float = Field(default=0.05, ge=0.0)
    """Added to a multiplier at every update, for a metric at twice its limit; a multiplier of 0.1
    makes reaching the limit cost as much as losing 10 % of equity."""

    proportional: float = Field(default=0.1, ge=0.0)
    """On top of that while the metric is at twice its limit: damps the swings."""

    episodes: PositiveInt = 16
    """Episodes, over all environments, that a multiplier is updated from."""


class Multipliers:
    """The multipliers of n environments, and what they cost at every step.

    The cost of a step is the change of metric / limit, so that the costs of an episode add up to
    what it ends with, and fall on the steps that caused it. A metric that is unavailable, as at the
    start of an episode, costs nothing until it is known.

    Args:
        config: The constraints.
        count: Number of environments.

    Attributes:
        names: The constrained metrics.
        values: Their multipliers, in fractions of equity. Shape [constraints].
        means: Metric / limit at the end of an episode: the mean that the last update was made
            from, NaN where it never was known. Shape [constraints].
        update_count: Updates so far.
    """

    def __init__(self, config: LagrangianConfig, count: int) -> None:
        self.names = tuple(config.constraints)
        self._config = config
        self._limits = np.array(list(config.constraints.values()))
        self._last = np.zeros((count, len(self.names)))
        self._ends: list[FloatArray] = []
        self._integral = np.zeros(len(self.names))
        self.values: FloatArray = np.zeros(len(self.names))
        self.means: FloatArray = np.full(len(self.names), np.nan)
        self.update_count = 0

    def costs(self, metrics: FloatArray, dones: NDArray[np.bool_]) -> FloatArray:
        """What the last step costs each environment.

        Args:
            metrics: The constrained metrics after the step and before any reset, NaN where
                unavailable. Shape [n, constraints].
            dones: Which episodes have ended. Shape [n].

        Returns:
            Fractions of equity. Shape [n].
        """
        utilisation = metrics / self._limits
        known = np.isfinite(utilisation)
        change = np.where(known, utilisation - self._last, 0.0)
        self._last = np.where(known, utilisation, self._last)
        costs: FloatArray = change @ self.values
        if dones.any():
            self._ends.extend(utilisation[dones])
            self._last[dones] = 0.0
            if len(self._ends) >= self._config.episodes:
                self._update()
        return costs

    def get_state(self) -> dict[str, Any]:
        """Everything that later costs depend on, as copies."""
        return copy.deepcopy({name: getattr(self, name) for name in _STATE})

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `get_state` gave."""
        vars(self).update(copy.deepcopy({name: state[name] for name in _STATE}))

    def _update(self) -> None:
        ends = np.array(self._ends)
        self._ends = []
        known = np.isfinite(ends)
        counts = known.sum(axis=0)
        totals = np.where(known, ends, 0.0).sum(axis=0)
        self.means = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
        violation = np.where(counts > 0, self.means - 1.0, 0.0)
        self._integral = np.maximum(self._integral + self._config.integral * violation, 0.0)
        self.values = np.maximum(self._integral + self._config.proportional * violation, 0.0)
        self.update_count += 1


_STATE = ("_last", "_ends", "_integral", "values", "means", "update_count")
