"""From the graph of a frozen TorchScript method to a Program; refuses what it does not know.

A frozen graph is one straight line of tensor operations with the weights as constants: nothing is
hidden in a submodule. Each operation is lowered with all of its arguments or refused, so a graph
that means something else than the program does not get through. The first dimension of every
tensor is the batch; a shape here is that of one row.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from tradewind.errors import LoweringError
from tradewind.policy import program
from tradewind.policy.compiled_network import LoweredNetwork
from tradewind.policy.network import TorchScriptNetwork
from tradewind.policy.program import Program
from tradewind.policy.program_builder import Piece, ProgramBuilder

__all__ = ["lower_graph", "lower_network"]

_FLOAT32: Final = 6  # how a graph writes torch.float32
_FLOAT64: Final = 7


class _BatchSize:
    """The length of the first dimension, which a program does not know."""


@dataclass(frozen=True)
class _Widened:
    """A float64 tensor on its way back to float32: clip((source − mean) / scale)."""

    source: Piece
    mean: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Index:
    """An int64 tensor, the argmax of a source; it can be the result and nothing else."""

    piece: Piece
    source: Piece


def lower_network(network: TorchScriptNetwork, observation_shape: Sequence[int]) -> LoweredNetwork:
    """Lowers both methods of a network.

    Args:
        network: The network.
        observation_shape: Shape of one observation.

    Raises:
        LoweringError: A method does what no program can; the message names the operation.
    """
    act, distribution = network.graphs()
    return LoweredNetwork(
        act=lower_graph(act, observation_shape),
        distribution=lower_graph(distribution, observation_shape),
    )


def lower_graph(graph: torch.Graph, observation_shape: Sequence[int]) -> Program:
    """Lowers a method of a frozen module that takes observations and gives one tensor.

    Args:
        graph: The graph; its inputs are the module and the observations [N, *observation_shape].
        observation_shape: Shape of one observation.

    Raises:
        LoweringError: The graph does what no program can; the message names the operation.
    """
    inputs, outputs = list(graph.inputs()), list(graph.outputs())
    if len(inputs) != 2 or len(outputs) != 1:
        raise LoweringError(
            f"the method has {len(inputs) - 1} arguments and {len(outputs)} results, not one each"
        )
    builder = ProgramBuilder(observation_shape)
    module, observations = (value.debugName() for value in inputs)
    values: dict[str, Any] = {module: inputs[0], observations: builder.observation}
    for node in graph.nodes():
        if node.outputsSize() != 1:
            raise LoweringError(f"{node.kind()} is not known")
        arguments = [values[value.debugName()] for value in node.inputs()]
        values[node.output().debugName()] = _lower_node(builder, node, arguments)
    answer = values[outputs[0].debugName()]
    if isinstance(answer, _Index):
        return builder.build(builder.decide(answer.source, answer.piece), np.int64)
    if isinstance(answer, Piece):
        return builder.build(answer, np.float32)
    raise LoweringError("the result is neither float32 nor an argmax of the observations")


def _lower_node(builder: ProgramBuilder, node: torch.Node, arguments: list[Any]) -> Any:
    if node.kind() == "prim::Constant":
        return _constant(node)
    if node.kind() == "prim::ListConstruct":
        return arguments
    overload = node.schema().partition("(")[0] or node.kind()
    operation = _OPERATIONS.get(overload)
    if operation is None:
        raise LoweringError(f"{overload} is not known")
    try:
        return operation(builder, *arguments)
    except LoweringError as problem:
        raise LoweringError(f"{overload} {problem}") from None
    except (TypeError, ValueError, LookupError, ArithmeticError) as problem:
        raise LoweringError(f"{overload} with arguments that are not known: {problem}") from None


def _constant(node: torch.Node) -> Any:
    try:
        value = node.output().toIValue()
        return value.numpy() if isinstance(value, torch.Tensor) else value
    except (RuntimeError, TypeError) as problem:
        raise LoweringError(f"a constant that is no array: {problem}") from None


# Operations that calculate


def _linear(builder: ProgramBuilder, value: Any, weight: Any, bias: Any) -> Piece:
    source, weights = _piece(value), _float32(weight)
    if source.shape != weights.shape[1:]:
        raise LoweringError(f"rows of shape {source.shape} meet weights {weights.shape}")
    biases = np.zeros(len(weights), np.float32) if bias is None else _float32(bias)
    return builder.linear(source, weights, biases)


def _activation(opcode: int) -> Callable[..., Piece]:
    def lower(builder: ProgramBuilder, value: Any, constant: float = 0.0) -> Piece:
        return builder.activate(opcode, _piece(value), constant)

    return lower


def _elu(
    builder: ProgramBuilder, value: Any, alpha: float, scale: float, input_scale: float
) -> Piece:
    if scale != 1 or input_scale != 1:
        raise LoweringError("with scales")
    return builder.activate(program.ELU, _piece(value), alpha)


def _arithmetic(opcode: int) -> Callable[..., Piece | _Widened]:
    def lower(builder: ProgramBuilder, left: Any, right: Any, alpha: float = 1) -> Piece | _Widened:
        if alpha != 1:
            raise LoweringError(f"with alpha {alpha}")
        if isinstance(left, _Widened):
            return _widened_arithmetic(opcode, left, right)
        if isinstance(left, Piece) and isinstance(right, Piece):
            if len(left.shape) != len(right.shape) or not _alike(left, right):
                raise LoweringError(f"rows of shapes {left.shape} and {right.shape}")
            return builder.combine(opcode, left, right)
        if isinstance(left, Piece):
            return builder.combine(opcode, left, _load(builder, right, left.shape))
        source = _piece(right)
        return builder.combine(opcode, _load(builder, left, source.shape), source)

    return lower


def _clamp(builder: ProgramBuilder, value: Any, lowest: Any, highest: Any) -> Piece | _Widened:
    if isinstance(value, _Widened):
        if value.bounds is not None:
            raise LoweringError("a second time in float64")
        low = -math.inf if lowest is None else float(_constants(lowest))
        high = math.inf if highest is None else float(_constants(highest))
        return replace(value, bounds=(low, high))
    result = _piece(value)
    if lowest is not None:
        result = builder.combine(program.MAXIMUM, result, _load(builder, lowest, result.shape))
    if highest is not None:
        result = builder.combine(program.MINIMUM, result, _load(builder, highest, result.shape))
    return result


def _widened_arithmetic(opcode: int, left: _Widened, right: Any) -> _Widened:
    """The next step of (source − mean) / scale; any other float64 arithmetic is refused."""
    shape = left.source.shape
    if not isinstance(right, np.ndarray) or right.dtype != np.float64:
        raise LoweringError("in float64 with what is no float64 constant")
    constants = np.broadcast_to(_row_constants(right, shape), shape)
    unscaled = left.scale is None and left.bounds is None
    if opcode == program.SUBTRACT and left.mean is None and unscaled:
        return replace(left, mean=constants)
    if opcode == program.DIVIDE and unscaled:
        return replace(left, scale=constants)
    raise LoweringError("in float64, but not as a normalisation")


def _to(builder: ProgramBuilder, value: Any, dtype: Any, *_how: Any) -> Piece | _Widened:
    if isinstance(value, Piece) and dtype == _FLOAT64:
        return _Widened(value)
    if isinstance(value, _Widened) and dtype == _FLOAT32:
        return builder.normalize(
            value.source,
            0.0 if value.mean is None else value.mean,
            1.0 if value.scale is None else value.scale,
            value.bounds or (-math.inf, math.inf),
        )
    if dtype == _FLOAT32:
        return _piece(value)
    raise LoweringError(f"to type {dtype}")


def _mean(builder: ProgramBuilder, value: Any, dims: Any, keep_dim: bool, dtype: Any) -> Piece:
    source = _piece(value)
    if not isinstance(dims, list) or len(dims) != 1 or dtype is not None:
        raise LoweringError(f"over dimensions {dims} as type {dtype}")
    return builder.mean(source, _row_dim(source, dims[0]), keep_dim=keep_dim)


def _argmax(builder: ProgramBuilder, value: Any, dim: Any, keep_dim: bool) -> _Index:
    source = _piece(value)
    if dim is None or keep_dim or len(source.shape) != 1:
        raise LoweringError(f"over dimension {dim} of rows of shape {source.shape}")
    _row_dim(source, dim)
    return _Index(builder.argmax(source), source)


# Operations that arrange


def _flatten(_builder: ProgramBuilder, value: Any, start: int, end: int) -> Piece:
    source = _piece(value)
    first, last = _row_dim(source, start), _row_dim(source, end)
    merged = math.prod(source.shape[first : last + 1])
    return replace(source, shape=(*source.shape[:first], merged, *source.shape[last + 1 :]))


def _reshape(_builder: ProgramBuilder, value: Any, sizes: list[Any]) -> Piece:
    source = _piece(value)
    row = sizes[1:]
    if isinstance(sizes[0], _BatchSize) and row.count(-1) == 1:
        others = math.prod(size for size in row if size != -1)
        row[row.index(-1)] = source.size // others
    elif not isinstance(sizes[0], _BatchSize) and sizes[0] != -1:
        raise LoweringError("what comes first is not the batch")
    if any(size < 0 for size in row) or math.prod(row) != source.size:
        raise LoweringError(f"rows of shape {source.shape} to {row}")
    return replace(source, shape=tuple(row))


def _select(_builder: ProgramBuilder, value: Any, dim: int, index: int) -> Piece:
    source = _piece(value)
    inner = source.shape[1:]
    return Piece(source.start + index % _outermost(source, dim) * math.prod(inner), inner)


def _slice(
    _builder: ProgramBuilder, value: Any, dim: int, start: Any, end: Any, step: int
) -> Piece:
    source = _piece(value)
    if dim == 0 and start in (None, 0) and end in (None, sys.maxsize) and step == 1:
        return source
    chosen = range(_outermost(source, dim))[start:end]
    if step != 1 or not chosen:
        raise LoweringError(f"[{start}:{end}:{step}] of rows of shape {source.shape}")
    inner = source.shape[1:]
    return Piece(source.start + chosen[0] * math.prod(inner), (len(chosen), *inner))


def _cat(builder: ProgramBuilder, values: list[Any], dim: int) -> Piece:
    parts = [_piece(value) for value in values]
    inner = parts[0].shape[1:]
    if any(_outermost(part, dim) == 0 or part.shape[1:] != inner for part in parts):
        raise LoweringError(f"rows of shapes {[part.shape for part in parts]}")
    return builder.join(parts, (sum(part.shape[0] for part in parts), *inner))


def _stack(builder: ProgramBuilder, values: list[Any], dim: int) -> Piece:
    parts = [_piece(value) for value in values]
    inner = parts[0].shape
    if dim != 1 or any(part.shape != inner for part in parts):
        raise LoweringError(f"rows of shapes {[part.shape for part in parts]} along {dim}")
    return builder.join(parts, (len(parts), *inner))


def _expand_as(builder: ProgramBuilder, value: Any, other: Any) -> Piece:
    return _load(builder, value, _piece(other).shape)


def _sizes(_builder: ProgramBuilder, value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        return list(value.shape)
    return [_BatchSize(), *_piece(value).shape]


# Arguments


def _piece(value: Any) -> Piece:
    if not isinstance(value, Piece):
        raise LoweringError("of what is no float32 tensor made of the observations")
    return value


def _float32(value: Any) -> NDArray[np.float32]:
    if not isinstance(value, np.ndarray) or value.dtype != np.float32:
        raise LoweringError("with what is no float32 constant")
    return value


def _constants(value: Any) -> NDArray[np.float32]:
    if type(value) in (int, float):
        return np.array(value, np.float32)
    return _float32(value)


def _load(builder: ProgramBuilder, value: Any, shape: tuple[int, ...]) -> Piece:
    return builder.load(_row_constants(_constants(value), shape), shape)


def _row_constants(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Constants as every row of the batch meets them."""
    row = values[0] if values.ndim == len(shape) + 1 and len(values) == 1 else values
    lengths = zip(row.shape[::-1], shape[::-1], strict=False)
    if row.ndim > len(shape) or any(found not in (1, length) for found, length in lengths):
        raise LoweringError(f"constants of shape {values.shape} meet rows of shape {shape}")
    return row


def _alike(left: Piece, right: Piece) -> bool:
    return left.shape == right.shape or left.size == 1 or right.size == 1


def _row_dim(source: Piece, dim: int) -> int:
    """A dimension of a batch as that of its rows."""
    row_dim = dim - 1 if dim >= 0 else dim + len(source.shape)
    if not 0 <= row_dim < len(source.shape):
        raise LoweringError(f"over dimension {dim} of rows of shape {source.shape}")
    return row_dim


def _outermost(source: Piece, dim: int) -> int:
    """Length of the first dimension of the rows: only along it is a part of a row one piece."""
    if _row_dim(source, dim) != 0:
        raise LoweringError(f"along dimension {dim} of rows of shape {source.shape}")
    return source.shape[0]


_OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "aten::linear": _linear,
    "aten::relu": _activation(program.RELU),
    "aten::tanh": _activation(program.TANH),
    "aten::sigmoid": _activation(program.SIGMOID),
    "aten::silu": _activation(program.SILU),
    "aten::leaky_relu": _activation(program.LEAKY_RELU),
    "aten::elu": _elu,
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
}
