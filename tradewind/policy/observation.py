"""Observations as callers give them, made into what a network takes."""

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.bundle import BoxSpace
from tradewind.errors import FieldViolation, ObservationError

__all__ = ["ObservationReader"]

_FEW: Final = 512


class ObservationReader:
    """Checks observations against a space.

    What it gives is a copy, so nothing a network does reaches the caller's memory.

    Args:
        space: The space of one observation.
    """

    def __init__(self, space: BoxSpace) -> None:
        self._shape = space.shape
        self._batch_of_one = (1, *space.shape)

    def one(self, observation: ArrayLike) -> NDArray[np.float32]:
        """Reads one observation.

        Args:
            observation: Shape of the space.

        Returns:
            float32 [1, *shape], finite.

        Raises:
            ObservationError: It has another shape, is not numbers, or holds a NaN, an infinity
                or a number beyond float32; the violation names the index.
        """
        array = _as_float32(observation, "observation")
        if array.shape != self._shape:
            raise _refusal("observation", f"shape {array.shape} instead of {self._shape}")
        _check_finite(array, "observation")
        return array.copy().reshape(self._batch_of_one)

    def batch(self, observations: ArrayLike) -> NDArray[np.float32]:
        """Reads N observations.

        Args:
            observations: [N, *shape], N at least 1.

        Returns:
            float32 [N, *shape], finite.

        Raises:
            ObservationError: As for `one`; the violation names row and index.
        """
        array = _as_float32(observations, "observations")
        if array.shape[1:] != self._shape or not len(array):
            expected = ", ".join(map(str, ("N ≥ 1", *self._shape)))
            raise _refusal("observations", f"shape {array.shape} instead of ({expected})")
        _check_finite(array, "observations")
        return array.copy()


def _as_float32(values: ArrayLike, field: str) -> NDArray[np.float32]:
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return values
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as problem:
        raise _refusal(field, f"not an array of numbers: {problem}") from None
    if array.dtype.kind not in "biuf":
        raise _refusal(field, f"elements of type {array.dtype} instead of numbers")
    with np.errstate(over="ignore"):  # becomes infinite, which is refused by its index
        return array.astype(np.float32)


def _check_finite(array: NDArray[np.float32], field: str) -> None:
    # In a server, where caches are cold between calls, numpy's reduction of a few numbers takes
    # 11 µs and Python's sum 2 µs. It adds in double precision, which float32 cannot overflow.
    if array.size <= _FEW and math.isfinite(sum(array.ravel().tolist())):
        return
    if np.isfinite(array).all():
        return
    index = np.unravel_index(int(np.argmin(np.isfinite(array))), array.shape)
    where = field + "".join(f"[{position}]" for position in index)
    raise _refusal(where, f"{array[index]} instead of a finite float32 number")


def _refusal(field: str, description: str) -> ObservationError:
    return ObservationError("observation is refused", [FieldViolation(field, description)])
