"""Residual layers: a features extractor from outside.

Source: K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition" (2015).
"""

from typing import Any

import torch
from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from trainer_service import Extractor


class ResidualLayer(nn.Module):
    """Adds to its input what a layer makes of it."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.layer = nn.Linear(units, units)

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape: [N, units] to [N, units]."""
        return inputs + torch.tanh(self.layer(inputs))


class ResidualExtractor(BaseFeaturesExtractor):
    """As many residual layers as there are to be, as wide as an observation."""

    def __init__(self, observation_space: spaces.Box, layers: int) -> None:
        size = int(torch.tensor(observation_space.shape).prod())
        super().__init__(observation_space, size)
        self.layers = nn.Sequential(nn.Flatten(), *(ResidualLayer(size) for _ in range(layers)))

    def forward(self, observations: Tensor) -> Tensor:
        """Shape: [N, *shape] to [N, size of an observation]."""
        features: Tensor = self.layers(observations)
        return features


class Residual(Extractor):
    """Names ResidualExtractor."""

    layers: int = Field(default=2, ge=1, le=16)
    """Residual layers."""

    def policy_kwargs(self) -> dict[str, Any]:
        """As Stable-Baselines3 takes it."""
        return {
            "features_extractor_class": ResidualExtractor,
            "features_extractor_kwargs": {"layers": self.layers},
        }
