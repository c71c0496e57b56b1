"""What the operations of a graph work on, and how their arguments are read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import LoweringError
from tradewind.policy.program_builder import Piece, ProgramBuilder

__all__ = [
    "BatchSize",
    "Index",
    "Widened",
    "are_alike",
    "load_constants",
    "outermost_length",
    "to_constants",
    "to_float32",
    "to_piece",
    "to_row",
    "to_row_dim",
]


class BatchSize:
    """The length of the first dimension, which a program does not know."""


@dataclass(frozen=True)
class Widened:
    """A float64 tensor on its way back to float32: clip((source − mean) / scale)."""

    source: Piece
    mean: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Index:
    """An int64 tensor, the argmax of a source; it can be the result and nothing else."""

    piece: Piece
    source: Piece


def to_piece(value: Any) -> Piece:
    """Refuses what is no part of the program's memory."""
    if not isinstance(value, Piece):
        raise LoweringError("of what is no float32 tensor made of the observations")
    return value


def to_float32(value: Any) -> NDArray[np.float32]:
    """Refuses what is no constant tensor of that type."""
    if not isinstance(value, np.ndarray) or value.dtype != np.float32:
        raise LoweringError("with what is no float32 constant")
    return value


def to_constants(value: Any) -> NDArray[np.float32]:
    """A Python number or a float32 constant, as an array."""
    if type(value) in (int, float):
        return np.array(value, np.float32)
    return to_float32(value)


def load_constants(builder: ProgramBuilder, value: Any, shape: tuple[int, ...]) -> Piece:
    """A number or a constant, broadcast to rows of a shape."""
    return builder.load(to_row(to_constants(value), shape), shape)


def to_row(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Constants as every row of the batch meets them."""
    row = values[0] if values.ndim == len(shape) + 1 and len(values) == 1 else values
    lengths = zip(row.shape[::-1], shape[::-1], strict=False)
    if row.ndim > len(shape) or any(found not in (1, length) for found, length in lengths):
        raise LoweringError(f"constants of shape {values.shape} meet rows of shape {shape}")
    return row


def are_alike(left: Piece, right: Piece) -> bool:
    """Whether one instruction combines them element by element."""
    return left.shape == right.shape or left.size == 1 or right.size == 1


def to_row_dim(source: Piece, dim: int) -> int:
    """A dimension of a batch as that of its rows."""
    row_dim = dim - 1 if dim >= 0 else dim + len(source.shape)
    if not 0 <= row_dim < len(source.shape):
        raise LoweringError(f"over dimension {dim} of rows of shape {source.shape}")
    return row_dim


def outermost_length(source: Piece, dim: int) -> int:
    """Length of the first dimension of the rows: only along it is a part of a row one piece."""
    if to_row_dim(source, dim) != 0:
        raise LoweringError(f"along dimension {dim} of rows of shape {source.shape}")
    return source.shape[0]
