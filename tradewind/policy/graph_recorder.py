"""Writes a graph instead of a program: what a ProgramBuilder is told, as declared operations."""

import bisect
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from tradewind.bundle.graph import OBSERVATION, Graph
from tradewind.bundle.operations import convolution_steps
from tradewind.bundle.weights import Weights
from tradewind.errors import LoweringError
from tradewind.policy import program
from tradewind.policy.program_builder import Piece, ProgramBuilder

__all__ = ["ACTIVATIONS", "COMBINATIONS", "SCALED_ACTIVATIONS", "GraphRecorder"]

ACTIVATIONS: Final = {
    "relu": program.RELU,
    "tanh": program.TANH,
    "sigmoid": program.SIGMOID,
    "silu": program.SILU,
    "gelu": program.GELU,
    "softplus": program.SOFTPLUS,
}
SCALED_ACTIVATIONS: Final = {"elu": program.ELU, "leaky_relu": program.LEAKY_RELU}
COMBINATIONS: Final = {
    "add": program.ADD,
    "subtract": program.SUBTRACT,
    "multiply": program.MULTIPLY,
    "divide": program.DIVIDE,
    "minimum": program.MINIMUM,
    "maximum": program.MAXIMUM,
}
_NAMES: Final = {
    code: name
    for names in (ACTIVATIONS, SCALED_ACTIVATIONS, COMBINATIONS)
    for name, code in names.items()
}


class GraphRecorder(ProgramBuilder):
    """The graph so far. What is said twice is one operation: two methods share their layers.

    Args:
        observation_shape: Shape of one observation.
    """

    def __init__(self, observation_shape: Sequence[int]) -> None:
        super().__init__(observation_shape)
        self._nodes: list[dict[str, Any]] = []
        self._tensors: dict[str, NDArray[Any]] = {}
        self._known: dict[Any, Piece | str] = {}
        self._counts: Counter[str] = Counter()
        # Results by the place in the memory at which a program would have them.
        self._starts = [self.observation.start]
        self._results = [(OBSERVATION, self.observation)]

    def graph(self, action: Piece, distribution: Piece) -> tuple[Graph, Weights]:
        """The graph that gives these answers, and its tensors.

        Raises:
            LoweringError: No graph can be so large, or hold such a number.
        """
        answers = {"action": self._name(action), "distribution": self._name(distribution)}
        try:
            whole = Graph.model_validate({"nodes": self._nodes, **answers})
            used = {node.name for name in answers.values() for node in whole.up_to(name)}
            nodes = [node for node in self._nodes if node["name"] in used]
            graph = Graph.model_validate({"nodes": nodes, **answers})
            specs = graph.tensors(self.observation.shape)
        except ValidationError as problem:
            first = problem.errors()[0]
            raise LoweringError(f"no graph: {first['loc']}: {first['msg']}") from None
        except ValueError as problem:
            raise LoweringError(str(problem)) from None
        return graph, {name: self._tensors[name] for name in specs}

    def load(self, constants: ArrayLike, shape: tuple[int, ...]) -> Piece:
        """Constants that can be broadcast to a shape."""
        values = np.broadcast_to(np.asarray(constants, np.float32), shape)
        return self._record("constant", shape, {"value": values})

    def normalize(
        self, source: Piece, mean: ArrayLike, scale: ArrayLike, bounds: tuple[float, float]
    ) -> Piece:
        """clip((source − mean) / scale) in float64."""
        tensors = {
            role: np.broadcast_to(np.asarray(values, np.float64), source.shape)
            for role, values in (("mean", mean), ("scale", scale))
        }
        low, high = (float(bound) if np.isfinite(bound) else None for bound in bounds)
        return self._record("normalize", source.shape, tensors, input=source, low=low, high=high)

    def linear(self, source: Piece, weights: ArrayLike, bias: ArrayLike) -> Piece:
        """A fully connected layer."""
        tensors = {"weight": np.asarray(weights, np.float32), "bias": np.asarray(bias, np.float32)}
        return self._record("linear", tensors["bias"].shape, tensors, input=source)

    def convolve(
        self,
        source: Piece,
        kernels: NDArray[np.float32],
        bias: ArrayLike,
        *,
        stride: int,
        padding: int,
        dilation: int,
    ) -> Piece:
        """A convolution."""
        outputs, _, taps = kernels.shape
        how = {"stride": stride, "padding": padding, "dilation": dilation}
        steps = convolution_steps(source.shape[1], taps, **how)
        tensors = {"weight": kernels, "bias": np.asarray(bias, np.float32)}
        return self._record("conv1d", (outputs, steps), tensors, input=source, taps=taps, **how)

    def standardize(self, source: Piece, size: int, epsilon: float) -> Piece:
        """(x − mean) / √(variance + ε) over each group of `size` successive numbers."""
        return self._record(
            "standardize", source.shape, input=source, group=size, epsilon=float(epsilon)
        )

    def activate(self, opcode: int, source: Piece, constant: float = 0.0) -> Piece:
        """An activation."""
        name = _NAMES[opcode]
        if name in SCALED_ACTIVATIONS:
            return self._record(name, source.shape, input=source, constant=float(constant))
        return self._record(name, source.shape, input=source)

    def combine(self, opcode: int, left: Piece, right: Piece) -> Piece:
        """Arithmetic of two pieces."""
        shape = left.shape if left.size >= right.size else right.shape
        return self._record(_NAMES[opcode], shape, inputs=[left, right])

    def mean(self, source: Piece, dim: int, *, keep_dim: bool) -> Piece:
        """Arithmetic mean over one dimension."""
        before, after = source.shape[:dim], source.shape[dim + 1 :]
        result = self._record("mean", (*before, *after), input=source, dim=dim)
        return Piece(result.start, (*before, 1, *after)) if keep_dim else result

    def argmax(self, source: Piece) -> Piece:
        """Index of the largest number; it becomes an operation when it is decided."""
        return source

    def decide(self, source: Piece, _index: Piece) -> Piece:
        """Index of the largest number of the source, where that is finite."""
        return self._record("argmax", (), input=source)

    def join(self, parts: Sequence[Piece], shape: tuple[int, ...]) -> Piece:
        """Pieces one behind the other."""
        return self._record("join", shape, inputs=[part for part in parts if part.size])

    def _record(
        self,
        op: str,
        shape: tuple[int, ...],
        tensors: dict[str, NDArray[Any]] | None = None,
        **values: Any,
    ) -> Piece:
        """Adds an operation unless it is there, with pieces by name; gives its result."""
        node = {key: self._named(value) for key, value in values.items()}
        key = (op, shape, repr(node), tuple(map(_digest, (tensors or {}).values())))
        known = self._known.get(key)
        if isinstance(known, Piece):
            return known
        name = self._new_name(op)
        self._nodes.append({"op": op, "name": name, "shape": list(map(int, shape)), **node})
        for role, tensor in (tensors or {}).items():
            self._tensors[f"{name}.{role}"] = tensor
        result = self._known[key] = self._allocate(shape)
        self._starts.append(result.start)
        self._results.append((name, result))
        return result

    def _named(self, value: Any) -> Any:
        if isinstance(value, Piece):
            return self._name(value)
        return [self._name(each) for each in value] if isinstance(value, list) else value

    def _name(self, piece: Piece) -> str:
        """Name of the result that a piece is, or of a new view of the one that it lies in."""
        name, whole = self._results[bisect.bisect_right(self._starts, piece.start) - 1]
        if piece == whole:
            return name
        start = piece.start - whole.start
        known = self._known.get((name, start, piece.shape))
        if isinstance(known, str):
            return known
        view = self._known[(name, start, piece.shape)] = self._new_name("view")
        shape = list(map(int, piece.shape))
        node = {"op": "view", "name": view, "shape": shape, "input": name, "start": start}
        self._nodes.append(node)
        return view

    def _new_name(self, op: str) -> str:
        self._counts[op] += 1
        return f"{op}_{self._counts[op]}"


def _digest(tensor: NDArray[Any]) -> tuple[Any, ...]:
    return tensor.dtype.str, tensor.shape, hashlib.sha256(tensor.tobytes()).digest()
