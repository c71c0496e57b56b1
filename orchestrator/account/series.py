"""Numbers that are appended."""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Series"]

Number = TypeVar("Number", np.float64, np.int64)


class Series(Generic[Number]):
    """Numbers that are appended; views of what there is stay as they are.

    The views are not read-only: RiskInputs copies an array that is, and here that would be the
    whole history at every bar.
    """

    def __init__(self, kind: type[Number]) -> None:
        self._buffer: NDArray[Number] = np.empty(1024, dtype=kind)
        self._count = 0

    def append(self, value: float) -> None:
        """Adds a number at the end."""
        if self._count == self._buffer.size:
            self._buffer = np.concatenate((self._buffer, np.empty_like(self._buffer)))
        self._buffer[self._count] = value
        self._count += 1

    def view(self) -> NDArray[Number]:
        """All of them. Shape [n]."""
        return self._buffer[: self._count]
