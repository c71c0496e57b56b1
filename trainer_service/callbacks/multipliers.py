"""Constraints on risk: multipliers that rise while a policy breaks a limit, and fall afterwards.

The policy maximises its return minus multiplier × metric / limit of every constraint: the
Lagrangian of a constrained Markov decision process (Altman, 1999). The multipliers follow the
violation with a proportional and an integral part (Stooke, Achiam and Abbeel, Responsive Safety in
Reinforcement Learning by PID Lagrangian Methods, 2020).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from tradewind.settings import Settings

__all__ = [
    "FEWEST_UPDATES",
    "ConstraintOutcome",
    "LagrangianConfig",
    "Multipliers",
    "foreseeable_updates",
]

FloatArray = NDArray[np.float64]

FEWEST_UPDATES: Final = 50
"""A training whose multipliers move less often says that its constraints could hardly adapt."""


class LagrangianConfig(Settings):
    """Limits that training must keep, and how hard it tries."""

    constraints: dict[str, PositiveFloat] = Field(min_length=1)
    """The most that a metric of the risk policy may be at the end of an episode, as a mean over
    episodes, e.g. `max_drawdown: 0.1`."""

    integral: float = Field(default=0.02, ge=0.0)
    """Added to a multiplier at every update, for a metric at twice its limit; a multiplier of 0.1
    makes reaching the limit cost as much as losing 10 % of equity."""

    proportional: float = Field(default=0.1, ge=0.0)
    """On top of that while the metric is at twice its limit: damps the swings."""

    largest: PositiveFloat = 0.3
    """The most that a multiplier becomes: costs are not to drown the return while a limit stays
    broken. With 0.3, reaching the limit costs as much as losing 30 % of equity."""

    episodes: PositiveInt = 16
    """The latest episodes, over all environments, whose mean the multipliers follow. They are
    updated whenever one ends, from the time on that half as many have ended."""

    @property
    def fewest_episodes(self) -> int:
        """Episodes that the first update is made from."""
        return (self.episodes + 1) // 2


@dataclass(frozen=True)
class ConstraintOutcome:
    """How a training under constraints ended.

    Attributes:
        utilisations: Metric / limit, the mean of the latest episodes, by metric; None where it
            never was known.
        update_count: How often the multipliers were updated.
        episodes: Episodes that the means are of, at most.
    """

    utilisations: Mapping[str, float | None]
    update_count: int
    episodes: int

    @property
    def satisfied(self) -> bool:
        """Whether every constraint was kept; one that was never judged was not."""
        return all(value is not None and value <= 1.0 for value in self.utilisations.values())

    def figures(self) -> dict[str, float]:
        """`constraint_satisfied` (1 or 0), `constraint_updates`, and `constraint_<metric>`."""
        known = {name: it for name, it in self.utilisations.items() if it is not None}
        return {
            "constraint_satisfied": float(self.satisfied),
            "constraint_updates": float(self.update_count),
            **{f"constraint_{name}": value for name, value in known.items()},
        }

    def remarks(self) -> list[str]:
        """What whoever uses the policy must know: broken constraints, and too few updates."""
        said = [
            f"the constraint on {name} was never judged: no episode ended with a known value"
            if value is None
            else f"the constraint on {name} is broken at the end of the training: "
            f"{value:.2f} times its limit, the mean of the latest {self.episodes} episodes"
            for name, value in self.utilisations.items()
            if value is None or value > 1.0
        ]
        if self.update_count < FEWEST_UPDATES:
            said.append(
                f"the multipliers of the constraints were updated {self.update_count} times only, "
                f"fewer than {FEWEST_UPDATES}: the constraints could hardly adapt"
            )
        return said


def foreseeable_updates(
    config: LagrangianConfig,
    first_lengths: NDArray[np.int64],
    episode_length: int,
    steps: int,
    own_from: int = 0,
) -> int:
    """How often the multipliers of a training will be updated if no episode ends early.

    Args:
        config: The constraints.
        first_lengths: Steps of the first episode of each environment. Shape [n].
        episode_length: Steps of every later one.
        steps: Steps of each environment.
        own_from: The step from which on the policy itself acts, and not chance.
    """
    count = max(0, -(-(steps - int(first_lengths.min())) // episode_length)) + 1
    ends = first_lengths[:, None] + np.arange(count) * episode_length
    begins = np.maximum(ends - episode_length, 0)
    # As `Multipliers` counts: at least half of an episode is the policy's own.
    own = 2 * (ends - np.clip(own_from, begins, ends)) >= ends - begins
    times, together = np.unique(ends[own & (ends <= steps)], return_counts=True)
    return int((np.cumsum(together) >= config.fewest_episodes).sum()) if len(times) else 0


class Multipliers:
    """The multipliers of n environments, and what they cost at every step.

    The cost of a step is the change of metric / limit, so that the costs of an episode add up to
    what it ends with, and fall on the steps that caused it. A metric that is unavailable, as at the
    start of an episode, costs nothing until it is known.

    An episode counts when the policy itself chose at least half of its actions: what random
    exploration does says nothing about the policy. After every step in which one that counts has
    ended, the multipliers are updated from the mean of the latest ones.

    Args:
        config: The constraints.
        count: Number of environments.

    Attributes:
        names: The constrained metrics.
        values: Their multipliers, in fractions of equity. Shape [constraints].
        means: Metric / limit at the end of an episode: the mean that the last update was made
            from, NaN where none of these episodes knew it. Shape [constraints].
        update_count: Updates so far.
    """

    def __init__(self, config: LagrangianConfig, count: int) -> None:
        self.names = tuple(config.constraints)
        self._config = config
        self._limits = np.array(list(config.constraints.values()))
        self._last = np.zeros((count, len(self.names)))
        # Steps of each running episode, and how many of them were random.
        self._lengths = np.zeros(count, dtype=np.int64)
        self._random = np.zeros(count, dtype=np.int64)
        self._ends: list[FloatArray] = []
        self._integral = np.zeros(len(self.names))
        self.values: FloatArray = np.zeros(len(self.names))
        self.means: FloatArray = np.full(len(self.names), np.nan)
        self.update_count = 0

    def costs(
        self, metrics: FloatArray, dones: NDArray[np.bool_], *, explores: bool = False
    ) -> FloatArray:
        """What the last step costs each environment.

        Args:
            metrics: The constrained metrics after the step and before any reset, NaN where
                unavailable. Shape [n, constraints].
            dones: Which episodes have ended. Shape [n].
            explores: Chance, and not the policy, has chosen the actions of the step.

        Returns:
            Fractions of equity. Shape [n].
        """
        utilisation = metrics / self._limits
        known = np.isfinite(utilisation)
        change = np.where(known, utilisation - self._last, 0.0)
        self._last = np.where(known, utilisation, self._last)
        costs: FloatArray = change @ self.values
        self._lengths += 1
        if explores:
            self._random += 1
        if dones.any():
            self._end(utilisation, dones)
        return costs

    def outcome(self) -> ConstraintOutcome:
        """How the training has ended, if it ends now."""
        means = zip(self.names, self.means.tolist(), strict=True)
        return ConstraintOutcome(
            {name: None if np.isnan(mean) else mean for name, mean in means},
            self.update_count,
            self._config.episodes,
        )

    def get_state(self) -> dict[str, Any]:
        """Everything that later costs depend on, as copies."""
        return copy.deepcopy({name: getattr(self, name) for name in _STATE})

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `get_state` gave."""
        vars(self).update(copy.deepcopy({name: state[name] for name in _STATE}))

    def _end(self, utilisation: FloatArray, dones: NDArray[np.bool_]) -> None:
        """Takes note of the episodes that have ended."""
        own = dones & (2 * self._random <= self._lengths)
        self._last[dones] = 0.0
        self._lengths[dones] = self._random[dones] = 0
        if not own.any():
            return
        # All of one step count alike, also where they are more than the mean is to be of.
        ended = list(utilisation[own])
        kept = max(self._config.episodes - len(ended), 0)
        self._ends = self._ends[-kept:] if kept else []
        self._ends += ended
        if len(self._ends) >= self._config.fewest_episodes:
            self._update()

    def _update(self) -> None:
        ends = np.array(self._ends)
        known = np.isfinite(ends)
        counts = known.sum(axis=0)
        totals = np.where(known, ends, 0.0).sum(axis=0)
        self.means = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
        violation = np.where(counts > 0, self.means - 1.0, 0.0)
        most = self._config.largest
        integral = self._integral + self._config.integral * violation
        self._integral = np.clip(integral, 0.0, most)  # not beyond what it may add
        self.values = np.clip(self._integral + self._config.proportional * violation, 0.0, most)
        self.update_count += 1


_STATE = (
    *("_last", "_lengths", "_random", "_ends", "_integral"),
    *("values", "means", "update_count"),
)
