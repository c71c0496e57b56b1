"""Convolutions over the log returns of an observation."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self

import torch
from gymnasium import spaces
from pydantic import Field, model_validator
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from tradewind.market import FeatureSpec
from trainer_service.algorithms.extractor import Extractor
from trainer_service.algorithms.layers import ACTIVATIONS, Activation, Layers

__all__ = ["ReturnConvolution", "ReturnConvolutionSettings"]


class ReturnConvolution(BaseFeaturesExtractor):
    """Convolutions over the log returns that an observation begins with; the rest is passed on.

    A pattern in the returns is then found wherever in the window it stands.

    Args:
        observation_space: A Box of one dimension.
        window: Log returns, oldest first, that an observation begins with.
        channels: Output channels of each convolution.
        kernel_size: Returns that one kernel spans.
        activation_fn: Activation after each convolution.

    Raises:
        ValueError: An observation is not one row of at least `window` numbers.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        window: int,
        channels: tuple[int, ...],
        kernel_size: int,
        activation_fn: type[nn.Module],
    ) -> None:
        shape = observation_space.shape
        if len(shape) != 1 or shape[0] < window:
            raise ValueError(f"observations of shape {shape} do not begin with {window} returns")
        length = window - len(channels) * (kernel_size - 1)
        super().__init__(observation_space, channels[-1] * length + shape[0] - window)
        self.window = window
        layers: list[nn.Module] = []
        inputs = 1
        for outputs in channels:
            layers += [nn.Conv1d(inputs, outputs, kernel_size), activation_fn()]
            inputs = outputs
        self.convolutions = nn.Sequential(*layers, nn.Flatten())

    def forward(self, observations: Tensor) -> Tensor:
        """Shape: [N, numbers] to [N, features]."""
        returns = observations[:, : self.window].unsqueeze(1)
        return torch.cat([self.convolutions(returns), observations[:, self.window :]], dim=1)


class ReturnConvolutionSettings(Extractor):
    """Names ReturnConvolution."""

    name: ClassVar[str] = "return_convolution"

    window: int = Field(default=16, ge=2, le=10_000)
    """Log returns that an observation begins with: `return_count` of its features."""

    channels: Annotated[Layers, Field(min_length=1)] = (8, 8)
    """Output channels of each convolution."""

    kernel_size: int = Field(default=3, ge=2, le=1_000)
    """Returns that one kernel spans."""

    activation_fn: Activation = "relu"
    """Activation after each convolution."""

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        reach = len(self.channels) * (self.kernel_size - 1) + 1
        if reach > self.window:
            raise ValueError(
                f"{len(self.channels)} kernels of {self.kernel_size} span {reach} returns, "
                f"but the window has {self.window}"
            )
        return self

    def policy_kwargs(self) -> dict[str, Any]:
        """As Stable-Baselines3 takes it."""
        return {
            "features_extractor_class": ReturnConvolution,
            "features_extractor_kwargs": {
                "window": self.window,
                "channels": self.channels,
                "kernel_size": self.kernel_size,
                "activation_fn": ACTIVATIONS[self.activation_fn],
            },
        }

    def check(self, features: FeatureSpec) -> Iterator[tuple[str, str]]:
        """It looks at all of the returns of an observation."""
        if self.window != features.return_count:
            yield "window", f"must be features.return_count, which is {features.return_count}"
