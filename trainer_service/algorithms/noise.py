"""Noise that explores around a deterministic continuous policy."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat
from stable_baselines3.common.noise import (
    ActionNoise as NoiseProcess,
)
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise

from tradewind.settings import Settings

__all__ = ["ActionNoise", "NormalNoise", "OrnsteinUhlenbeckNoise"]


class NormalNoise(Settings):
    """Independent Gaussian noise at every step."""

    kind: Literal["normal"] = "normal"
    """Always "normal"."""

    sigma: PositiveFloat = 0.1
    """Standard deviation, as a fraction of half the width of the action space."""

    def make(self, action_size: int) -> NoiseProcess:
        """The process, for actions of so many numbers."""
        return NormalActionNoise(np.zeros(action_size), np.full(action_size, self.sigma))


class OrnsteinUhlenbeckNoise(Settings):
    """Gaussian noise that reverts to 0: a position drifts instead of trading at every bar."""

    kind: Literal["ornstein_uhlenbeck"] = "ornstein_uhlenbeck"
    """Always "ornstein_uhlenbeck"."""

    sigma: PositiveFloat = 0.1
    """Volatility, as a fraction of half the width of the action space; in the long run the standard
    deviation is sigma / √(2 theta)."""

    theta: PositiveFloat = 0.15
    """Speed of the reversion."""

    dt: PositiveFloat = 0.01
    """Time between two steps."""

    def make(self, action_size: int) -> NoiseProcess:
        """The process, for actions of so many numbers."""
        return OrnsteinUhlenbeckActionNoise(
            np.zeros(action_size), np.full(action_size, self.sigma), theta=self.theta, dt=self.dt
        )


ActionNoise = Annotated[NormalNoise | OrnsteinUhlenbeckNoise, Field(discriminator="kind")]
