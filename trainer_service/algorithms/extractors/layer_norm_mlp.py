"""Hidden layers that are normalised."""

from typing import Annotated, Any, ClassVar

import torch
from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from trainer_service.algorithms.extractor import Extractor
from trainer_service.algorithms.layers import ACTIVATIONS, Activation, Layers

__all__ = ["LayerNormMlp", "LayerNormMlpSettings"]


class LayerNormMlp(BaseFeaturesExtractor):
    """Hidden layers, each normalised before its activation.

    Observations of very different scales, or bursts in them, do not saturate such a network, with
    or without VecNormalize.

    Args:
        observation_space: A Box.
        units: Units of each layer.
        activation_fn: Activation after each normalisation.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        units: tuple[int, ...],
        activation_fn: type[nn.Module],
    ) -> None:
        super().__init__(observation_space, units[-1])
        layers: list[nn.Module] = [nn.Flatten()]
        inputs = int(torch.tensor(observation_space.shape).prod())
        for outputs in units:
            layers += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), activation_fn()]
            inputs = outputs
        self.layers = nn.Sequential(*layers)

    def forward(self, observations: Tensor) -> Tensor:
        """Shape: [N, *shape] to [N, units[-1]]."""
        features: Tensor = self.layers(observations)
        return features


class LayerNormMlpSettings(Extractor):
    """Names LayerNormMlp."""

    name: ClassVar[str] = "layer_norm_mlp"

    units: Annotated[Layers, Field(min_length=1)] = (64,)
    """Units of each layer."""

    activation_fn: Activation = "relu"
    """Activation after each normalisation."""

    def policy_kwargs(self) -> dict[str, Any]:
        """As Stable-Baselines3 takes it."""
        return {
            "features_extractor_class": LayerNormMlp,
            "features_extractor_kwargs": {
                "units": self.units,
                "activation_fn": ACTIVATIONS[self.activation_fn],
            },
        }
