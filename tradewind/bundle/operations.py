"""The operations that a declared network is made of: a closed set.

A shape is that of one row; the batch goes before it.
"""

import math
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field

from tradewind.bundle.spaces import MAX_SPACE_SIZE
from tradewind.settings import Settings

__all__ = [
    "LARGEST_CONVOLUTION",
    "MOST_OPERATIONS",
    "Activation",
    "Argmax",
    "Combination",
    "Constant",
    "Convolution",
    "Join",
    "Linear",
    "Mean",
    "Name",
    "Node",
    "Normalization",
    "ScaledActivation",
    "Standardization",
    "TensorSpec",
    "View",
    "convolution_steps",
]

LARGEST_CONVOLUTION: Final = 1 << 18
"""Most weights of a convolution once it is a full matrix: about 25 µs of one core."""

MOST_OPERATIONS: Final = 4096
"""Of one graph."""

Length = Annotated[int, Field(strict=True, ge=1, le=MAX_SPACE_SIZE)]
Shape = Annotated[tuple[Length, ...], Field(max_length=8)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Place = Annotated[int, Field(strict=True, ge=0, le=MAX_SPACE_SIZE)]
Number = Annotated[float, Field(strict=True)]


class TensorSpec(NamedTuple):
    """A tensor of policy.safetensors.

    Attributes:
        dtype: As safetensors calls it.
        shape: Its shape.
        infinite: Whether infinities are allowed, as where an action has no bound.
    """

    dtype: Literal["F32", "F64"]
    shape: tuple[int, ...]
    infinite: bool = False


class _Node(Settings):
    """An operation, called like its result."""

    name: Name
    """Its name; the operations after it use its result by it."""

    shape: Shape
    """Of its result for one observation."""

    @property
    def size(self) -> int:
        """Numbers of its result."""
        return math.prod(self.shape)

    @property
    def sources(self) -> tuple[str, ...]:
        """What it works on: names of operations before it, or `observation`."""
        return ()

    def is_possible(self, *sources: tuple[int, ...]) -> bool:
        """Whether it gives its shape from sources of these shapes."""
        raise NotImplementedError

    def tensors(self, *_sources: tuple[int, ...]) -> dict[str, TensorSpec]:
        """Its tensors by role."""
        return {}


class _OneSource(_Node):
    input: Name
    """What it works on."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What it works on."""
        return (self.input,)

    def is_possible(self, *sources: tuple[int, ...]) -> bool:
        """Whether it gives its shape from sources of these shapes."""
        return sources[0] == self.shape


class Normalization(_OneSource):
    """clip((x − mean) / scale) in float64, the result in float32."""

    op: Literal["normalize"]
    """Always that."""

    low: Number | None
    """Lowest result; null for none."""

    high: Number | None
    """Highest result; null for none."""

    def tensors(self, *_sources: tuple[int, ...]) -> dict[str, TensorSpec]:
        """Its tensors by role."""
        return {"mean": TensorSpec("F64", self.shape), "scale": TensorSpec("F64", self.shape)}


class Linear(_OneSource):
    """bias + weight · x; weight [outputs, inputs], bias [outputs]."""

    op: Literal["linear"]
    """Always that."""

    def is_possible(self, *sources: tuple[int, ...]) -> bool:
        """Whether it gives its shape from sources of these shapes."""
        return len(sources[0]) == len(self.shape) == 1

    def tensors(self, *sources: tuple[int, ...]) -> dict[str, TensorSpec]:
        """Its tensors by role."""
        weight = TensorSpec("F32", (*self.shape, *sources[0]))
        return {"weight": weight, "bias": TensorSpec("F32", self.shape)}


class Convolution(_OneSource):
    """A convolution of [channels, length] along the length, as torch's conv1d.

    weight [outputs, channels, taps], bias [outputs].
    """

    op: Literal["conv1d"]
    """Always that."""

    taps: Length
    """Length of a kernel."""

    stride: Length
    """Steps from one place of the kernels to the next."""

    padding: Place
    """Zeros before and after the input."""

    dilation: Length
    """Steps from one number that a kernel sees to the next."""

    def is_possible(self, *sources: tuple[int, ...]) -> bool:
        """Whether it gives its shape from sources of these shapes."""
        if len(sources[0]) != 2 or len(self.shape) != 2:
            return False
        steps = convolution_steps(
            sources[0][1], self.taps, self.stride, self.padding, self.dilation
        )
        small = self.size * math.prod(sources[0]) <= LARGEST_CONVOLUTION
        return steps == self.shape[1] and small

    def tensors(self, *sources: tuple[int, ...]) -> dict[str, TensorSpec]:
        """Its tensors by role."""
        weight = TensorSpec("F32", (self.shape[0], sources[0][0], self.taps))
        return {"weight": weight, "bias": TensorSpec("F32", self.shape[:1])}


class Standardization(_OneSource):
    """(x − mean) / √(variance + epsilon) over each group of successive numbers."""

    op: Literal["standardize"]
    """Always that."""

    group: Length
    """Numbers of a group."""

    epsilon: Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
    """Added to the variance, as a float32."""

    def is_possible(self, *sources: tuple[int, ...]) -> bool:
        """Whether it gives its shape from sources of these shapes."""
        return sources[0] == self.shape and self.size % self.group == 0


class Activation(_OneSource):
    """An activation of each number, as torch defines it."""

    op: Literal["relu", "tanh", "sigmoid", "silu", "gelu", "softplus"]
    """Which one."""


class ScaledActivation(_OneSource):
    """An activation of each number that takes a constant, as torch defines it."""

    op: Literal["elu", "leaky_relu"]
    """Which one."""

    constant: Number
    """α of elu, the slope below 0 of leaky_relu."""


class Combination(_Node):
    """Arithmetic of two results, number by number.

    One that holds a single number stands for as many as the other has.
    """

    op: Literal["add", "subtract", "multiply", "divide", "minimum", "maximum"]
    """Which."""

    inputs: tuple[Name, Name]
    """Left and right."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What it works on."""
        return self.inputs

    def is_possible(self, *sources: tuple[int, ...]) -> bool:
        """Whether it gives its shape from sources of these shapes."""
        whole = [source == self.shape for source in sources]
        alone = [math.prod(source) == 1 for source in sources]
        return any(whole) and all(w or a for w, a in zip(whole, alone, strict=True))


class Mean(_OneSource):
    """The arithmetic mean over a dimension, summed in float64; the result is without it."""

    op: Literal["mean"]
    """Always that."""

    dim: Annotated[int, Field(strict=True, ge=0, le=7)]
    """The dimension of a row."""

    def is_possible(self, *sources: tuple[int, ...]) -> bool:
        """Whether it gives its shape from sources of these shapes."""
        shape = sources[0]
        return self.dim < len(shape) and shape[: self.dim] + shape[self.dim + 1 :] == self.shape


class Join(_Node):
    """Results one behind the other, in row-major order."""

    op: Literal["join"]
    """Always that."""

    inputs: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MOST_OPERATIONS)]
    """Which ones."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What it works on."""
        return self.inputs

    def is_possible(self, *sources: tuple[int, ...]) -> bool:
        """Whether it gives its shape from sources of these shapes."""
        return sum(map(math.prod, sources)) == self.size


class Constant(_Node):
    """The tensor `value`, whatever the observation."""

    op: Literal["constant"]
    """Always that."""

    def is_possible(self, *_sources: tuple[int, ...]) -> bool:
        """Always."""
        return True

    def tensors(self, *_sources: tuple[int, ...]) -> dict[str, TensorSpec]:
        """Its tensors by role."""
        return {"value": TensorSpec("F32", self.shape)}


class View(_OneSource):
    """Successive numbers of a result in row-major order, in another shape."""

    op: Literal["view"]
    """Always that."""

    start: Place
    """Place of the first one."""

    def is_possible(self, *sources: tuple[int, ...]) -> bool:
        """Whether it gives its shape from sources of these shapes."""
        return self.start + self.size <= math.prod(sources[0])


class Argmax(_OneSource):
    """Index of the largest number, the first of equals; −1 where that number is not finite.

    It can be the action and nothing else.
    """

    op: Literal["argmax"]
    """Always that."""

    def is_possible(self, *sources: tuple[int, ...]) -> bool:
        """Whether it gives its shape from sources of these shapes."""
        return len(sources[0]) == 1 and self.shape == ()


Node = Annotated[
    Normalization
    | Linear
    | Convolution
    | Standardization
    | Activation
    | ScaledActivation
    | Combination
    | Mean
    | Join
    | Constant
    | View
    | Argmax,
    Field(discriminator="op"),
]


def convolution_steps(length: int, taps: int, stride: int, padding: int, dilation: int) -> int:
    """Length of the result of a convolution; not above 0 where the kernel does not fit."""
    return (length + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
