"""Observation and action spaces as metadata.json writes them."""

import math
from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, PositiveInt, model_validator

from tradewind.settings import Settings

__all__ = ["ActionSpace", "BoxSpace", "DiscreteSpace"]

MAX_SPACE_SIZE: Final = 1024 * 1024
"""Most numbers in one observation or action: 4 MiB, the default limit of a message."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)

Bounds = float | None | tuple[float | None, ...]


class BoxSpace(Settings):
    """Box of float32 numbers."""

    kind: Literal["box"] = "box"
    """Always "box"."""

    shape: tuple[PositiveInt, ...] = Field(min_length=1, max_length=8)
    """Shape of one observation or action."""

    low: Bounds = None
    """Lower bound of every element, or one per element in row-major order; null where there is
    none, because JSON knows no infinity."""

    high: Bounds = None
    """Upper bound, likewise."""

    dtype: Literal["float32"] = "float32"
    """Always "float32"."""

    @classmethod
    def from_bounds(cls, shape: Sequence[int], low: ArrayLike, high: ArrayLike) -> Self:
        """Builds a box from numeric bounds such as Gymnasium's.

        Args:
            shape: Shape of one observation or action.
            low: A number or an array of `shape`; minus infinity where there is no bound.
            high: Likewise; plus infinity where there is no bound.
        """
        return cls(
            shape=tuple(int(length) for length in shape),
            low=_bounds(low, shape, -math.inf),
            high=_bounds(high, shape, math.inf),
        )

    @property
    def size(self) -> int:
        """Numbers in one observation or action."""
        return math.prod(self.shape)

    def low_array(self) -> NDArray[np.float32]:
        """Lower bounds, minus infinity where there is none. Shape: `self.shape`."""
        return self._array(self.low, -np.inf)

    def high_array(self) -> NDArray[np.float32]:
        """Upper bounds, plus infinity where there is none. Shape: `self.shape`."""
        return self._array(self.high, np.inf)

    def _array(self, bounds: Bounds, unbounded: float) -> NDArray[np.float32]:
        if isinstance(bounds, tuple):
            values = [unbounded if value is None else value for value in bounds]
            return np.array(values, dtype=np.float32).reshape(self.shape)
        return np.full(self.shape, unbounded if bounds is None else bounds, dtype=np.float32)

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.size > MAX_SPACE_SIZE:
            raise ValueError(f"shape {self.shape} has more than {MAX_SPACE_SIZE} numbers")
        for name, bounds in (("low", self.low), ("high", self.high)):
            values = bounds if isinstance(bounds, tuple) else (bounds,)
            if isinstance(bounds, tuple) and len(bounds) != self.size:
                raise ValueError(
                    f"{name} has {len(bounds)} values, but shape {self.shape} needs {self.size}"
                )
            if any(value is not None and abs(value) > _FLOAT32_MAX for value in values):
                raise ValueError(f"{name} has a value that float32 cannot hold")
        if not np.all(self.low_array() <= self.high_array()):
            raise ValueError("low must not exceed high")
        return self


class DiscreteSpace(Settings):
    """Integers from 0 to n − 1."""

    kind: Literal["discrete"] = "discrete"
    """What tells it from a box."""

    n: int = Field(ge=1, le=MAX_SPACE_SIZE)
    """How many actions there are."""


ActionSpace = Annotated[BoxSpace | DiscreteSpace, Field(discriminator="kind")]


def _bounds(values: ArrayLike, shape: Sequence[int], unbounded: float) -> Bounds:
    array = np.broadcast_to(np.asarray(values, dtype=np.float64), tuple(shape)).ravel()
    listed = tuple(None if value == unbounded else value for value in array.tolist())
    return listed[0] if len(set(listed)) == 1 else listed
