"""Growth less the downside of the last steps: a reward from outside, in NumPy."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from trainer_service import Reward, RewardWindow


class DownsideReward(Reward):
    """The log return of a step, less a weight times the downside deviation of the last ones.

    The deviation is that of losses from 0, as in Sortino's ratio.
    """

    name: ClassVar[str] = "downside"
    version: ClassVar[int] = 1

    steps: int = Field(default=48, ge=1, le=1_000)
    """Steps of the deviation."""

    weight: float = Field(default=0.5, ge=0.0)
    """What the deviation costs."""

    @property
    def lookback(self) -> int:
        """The steps of the deviation."""
        return self.steps

    def rewards(self, window: RewardWindow) -> np.ndarray:
        """Of all accounts at once."""
        growth = np.diff(np.log(np.maximum(window.equity, 1.0)), axis=1)
        losses = np.minimum(growth, 0.0)
        deviation = np.sqrt((losses**2).sum(axis=1) / self.steps)
        rewards: np.ndarray = growth[:, -1] - self.weight * deviation
        return rewards
