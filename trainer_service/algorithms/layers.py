"""Sizes and activations of layers, as a configuration writes them."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field
from torch import nn

__all__ = ["ACTIVATIONS", "Activation", "Layers"]

ACTIVATIONS: Final[Mapping[str, type[nn.Module]]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
Activation = Literal["elu", "gelu", "leaky_relu", "relu", "silu", "tanh"]

Layers = Annotated[tuple[Annotated[int, Field(gt=0, le=8192)], ...], Field(max_length=16)]
"""Units of each hidden layer."""
