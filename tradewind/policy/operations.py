"""What the operations of a TorchScript graph become in a program.

An operation takes the builder and the values of its arguments: pieces of the program's memory,
constants as arrays, Python numbers and lists. It gives the value of its result, or refuses.
"""

import math
import operator
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from tradewind.errors import LoweringError
from tradewind.policy import program
from tradewind.policy.layers import LAYERS
from tradewind.policy.operands import (
    BatchSize,
    Index,
    Widened,
    are_alike,
    load_constants,
    outermost_length,
    to_constants,
    to_piece,
    to_row,
    to_row_dim,
)
from tradewind.policy.program_builder import Piece, ProgramBuilder

__all__ = ["OPERATIONS"]

_FLOAT32: Final = 6  # how a graph writes torch.float32
_FLOAT64: Final = 7


# Operations that calculate


def _arithmetic(opcode: int) -> Callable[..., Piece | Widened]:
    def lower(builder: ProgramBuilder, left: Any, right: Any, alpha: float = 1) -> Piece | Widened:
        if alpha != 1:
            raise LoweringError(f"with alpha {alpha}")
        if isinstance(left, Widened):
            return _widened_arithmetic(opcode, left, right)
        if isinstance(left, Piece) and isinstance(right, Piece):
            if len(left.shape) != len(right.shape) or not are_alike(left, right):
                raise LoweringError(f"rows of shapes {left.shape} and {right.shape}")
            return builder.combine(opcode, left, right)
        if isinstance(left, Piece):
            return builder.combine(opcode, left, load_constants(builder, right, left.shape))
        source = to_piece(right)
        return builder.combine(opcode, load_constants(builder, left, source.shape), source)

    return lower


def _clamp(builder: ProgramBuilder, value: Any, lowest: Any, highest: Any) -> Piece | Widened:
    if isinstance(value, Widened):
        if value.bounds is not None:
            raise LoweringError("a second time in float64")
        low = -math.inf if lowest is None else float(to_constants(lowest))
        high = math.inf if highest is None else float(to_constants(highest))
        return replace(value, bounds=(low, high))
    result = to_piece(value)
    if lowest is not None:
        result = builder.combine(
            program.MAXIMUM, result, load_constants(builder, lowest, result.shape)
        )
    if highest is not None:
        result = builder.combine(
            program.MINIMUM, result, load_constants(builder, highest, result.shape)
        )
    return result


def _widened_arithmetic(opcode: int, left: Widened, right: Any) -> Widened:
    """The next step of (source − mean) / scale; any other float64 arithmetic is refused."""
    shape = left.source.shape
    if not isinstance(right, np.ndarray) or right.dtype != np.float64:
        raise LoweringError("in float64 with what is no float64 constant")
    constants = np.broadcast_to(to_row(right, shape), shape)
    unscaled = left.scale is None and left.bounds is None
    if opcode == program.SUBTRACT and left.mean is None and unscaled:
        return replace(left, mean=constants)
    if opcode == program.DIVIDE and unscaled:
        return replace(left, scale=constants)
    raise LoweringError("in float64, but not as a normalisation")


def _to(builder: ProgramBuilder, value: Any, dtype: Any, *_how: Any) -> Piece | Widened:
    if isinstance(value, Piece) and dtype == _FLOAT64:
        return Widened(value)
    if isinstance(value, Widened) and dtype == _FLOAT32:
        return builder.normalize(
            value.source,
            0.0 if value.mean is None else value.mean,
            1.0 if value.scale is None else value.scale,
            value.bounds or (-math.inf, math.inf),
        )
    if dtype == _FLOAT32:
        return to_piece(value)
    raise LoweringError(f"to type {dtype}")


def _mean(builder: ProgramBuilder, value: Any, dims: Any, keep_dim: bool, dtype: Any) -> Piece:
    source = to_piece(value)
    if not isinstance(dims, list) or len(dims) != 1 or dtype is not None:
        raise LoweringError(f"over dimensions {dims} as type {dtype}")
    return builder.mean(source, to_row_dim(source, dims[0]), keep_dim=keep_dim)


def _argmax(builder: ProgramBuilder, value: Any, dim: Any, keep_dim: bool) -> Index:
    source = to_piece(value)
    if dim is None or keep_dim or len(source.shape) != 1:
        raise LoweringError(f"over dimension {dim} of rows of shape {source.shape}")
    to_row_dim(source, dim)
    return Index(builder.argmax(source), source)


# Operations that arrange


def _flatten(_builder: ProgramBuilder, value: Any, start: int, end: int) -> Piece:
    source = to_piece(value)
    first, last = to_row_dim(source, start), to_row_dim(source, end)
    merged = math.prod(source.shape[first : last + 1])
    return replace(source, shape=(*source.shape[:first], merged, *source.shape[last + 1 :]))


def _reshape(_builder: ProgramBuilder, value: Any, sizes: list[Any]) -> Piece:
    source = to_piece(value)
    row = sizes[1:]
    if isinstance(sizes[0], BatchSize) and row.count(-1) == 1:
        others = math.prod(size for size in row if size != -1)
        row[row.index(-1)] = source.size // others
    elif not isinstance(sizes[0], BatchSize) and sizes[0] != -1:
        raise LoweringError("what comes first is not the batch")
    if any(size < 0 for size in row) or math.prod(row) != source.size:
        raise LoweringError(f"rows of shape {source.shape} to {row}")
    return replace(source, shape=tuple(row))


def _unsqueeze(_builder: ProgramBuilder, value: Any, dim: int) -> Piece:
    source = to_piece(value)
    place = dim - 1 if dim >= 0 else dim + 1 + len(source.shape)
    if not 0 <= place <= len(source.shape):
        raise LoweringError(f"dimension {dim} into rows of shape {source.shape}")
    return replace(source, shape=(*source.shape[:place], 1, *source.shape[place:]))


def _squeeze(_builder: ProgramBuilder, value: Any, dim: int) -> Piece:
    source = to_piece(value)
    place = to_row_dim(source, dim)
    if source.shape[place] != 1:
        return source
    return replace(source, shape=(*source.shape[:place], *source.shape[place + 1 :]))


def _select(_builder: ProgramBuilder, value: Any, dim: int, index: int) -> Piece:
    source = to_piece(value)
    inner = source.shape[1:]
    return Piece(source.start + index % outermost_length(source, dim) * math.prod(inner), inner)


def _slice(
    _builder: ProgramBuilder, value: Any, dim: int, start: Any, end: Any, step: int
) -> Piece:
    source = to_piece(value)
    if dim == 0 and start in (None, 0) and end in (None, sys.maxsize) and step == 1:
        return source
    chosen = range(outermost_length(source, dim))[start:end]
    if step != 1:
        raise LoweringError(f"[{start}:{end}:{step}] of rows of shape {source.shape}")
    inner = source.shape[1:]
    return Piece(source.start + chosen.start * math.prod(inner), (len(chosen), *inner))


def _cat(builder: ProgramBuilder, values: list[Any], dim: int) -> Piece:
    parts = [to_piece(value) for value in values]
    lengths = [outermost_length(part, dim) for part in parts]
    inner = parts[0].shape[1:]
    if any(part.shape[1:] != inner for part in parts):
        raise LoweringError(f"rows of shapes {[part.shape for part in parts]}")
    return builder.join(parts, (sum(lengths), *inner))


def _stack(builder: ProgramBuilder, values: list[Any], dim: int) -> Piece:
    parts = [to_piece(value) for value in values]
    inner = parts[0].shape
    if dim != 1 or any(part.shape != inner for part in parts):
        raise LoweringError(f"rows of shapes {[part.shape for part in parts]} along {dim}")
    return builder.join(parts, (len(parts), *inner))


def _expand_as(builder: ProgramBuilder, value: Any, other: Any) -> Piece:
    return load_constants(builder, value, to_piece(other).shape)


def _sizes(_builder: ProgramBuilder, value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        return list(value.shape)
    return [BatchSize(), *to_piece(value).shape]


def _compare(holds: Callable[[int, int], bool]) -> Callable[..., bool]:
    def lower(_builder: ProgramBuilder, left: Any, right: Any) -> bool:
        if type(left) is not int or type(right) is not int:
            raise LoweringError("of the batch size")
        return holds(left, right)

    return lower


OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    **LAYERS,
    "aten::add.Tensor": _arithmetic(program.ADD),
    "aten::add.Scalar": _arithmetic(program.ADD),
    "aten::sub.Tensor": _arithmetic(program.SUBTRACT),
    "aten::sub.Scalar": _arithmetic(program.SUBTRACT),
    "aten::mul.Tensor": _arithmetic(program.MULTIPLY),
    "aten::mul.Scalar": _arithmetic(program.MULTIPLY),
    "aten::div.Tensor": _arithmetic(program.DIVIDE),
    "aten::div.Scalar": _arithmetic(program.DIVIDE),
    "aten::minimum": _arithmetic(program.MINIMUM),
    "aten::maximum": _arithmetic(program.MAXIMUM),
    "aten::clamp": _clamp,
    "aten::to.dtype": _to,
    "aten::mean.dim": _mean,
    "aten::argmax": _argmax,
    "aten::flatten.using_ints": _flatten,
    "aten::reshape": _reshape,
    "aten::view": _reshape,
    "aten::unsqueeze": _unsqueeze,
    "aten::squeeze.dim": _squeeze,
    "aten::select.int": _select,
    "aten::slice.Tensor": _slice,
    "aten::cat": _cat,
    "aten::stack": _stack,
    "aten::expand_as": _expand_as,
    "aten::size": _sizes,
    "aten::size.int": lambda builder, value, dim: _sizes(builder, value)[dim],
    "aten::__getitem__.t": lambda _builder, values, index: values[index],
    "aten::slice.t": lambda _builder, values, start, end, step: values[start:end:step],
    "aten::add.t": lambda _builder, left, right: left + right,
    "aten::dim": lambda _builder, value: len(to_piece(value).shape) + 1,
    "aten::eq.int": _compare(operator.eq),
    "aten::ne.int": _compare(operator.ne),
    "aten::lt.int": _compare(operator.lt),
    "aten::le.int": _compare(operator.le),
    "aten::gt.int": _compare(operator.gt),
    "aten::ge.int": _compare(operator.ge),
}
