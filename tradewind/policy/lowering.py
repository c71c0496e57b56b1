"""From the graph of a frozen TorchScript method to a Program; refuses what it does not know.

A frozen graph is one straight line of tensor operations with the weights as constants: nothing is
hidden in a submodule. Where it branches on shapes alone, the branch that they choose is part of the
line. Each operation is lowered with all of its arguments or refused, so a graph that means
something else than the program does not get through. The first dimension of every tensor is the
batch; a shape here is that of one row.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from tradewind.bundle import Graph, Weights
from tradewind.errors import LoweringError
from tradewind.policy.compiled_network import LoweredNetwork
from tradewind.policy.graph_recorder import GraphRecorder
from tradewind.policy.network import TorchScriptNetwork
from tradewind.policy.operands import Index
from tradewind.policy.operations import OPERATIONS
from tradewind.policy.program import Program
from tradewind.policy.program_builder import Piece, ProgramBuilder

__all__ = ["declare_network", "lower_graph", "lower_network"]


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
    builder = ProgramBuilder(observation_shape)
    return builder.build(*_follow(builder, graph))


def declare_network(
    network: TorchScriptNetwork, observation_shape: Sequence[int]
) -> tuple[Graph, Weights]:
    """The declared network that both methods of a network are, and its tensors.

    Args:
        network: The network.
        observation_shape: Shape of one observation.

    Raises:
        LoweringError: A method does what no graph can declare; the message names the operation.
    """
    recorder = GraphRecorder(observation_shape)
    action, distribution = (_follow(recorder, graph)[0] for graph in network.graphs())
    return recorder.graph(action, distribution)


def _follow(builder: ProgramBuilder, graph: torch.Graph) -> tuple[Piece, type[np.generic]]:
    """Writes what a method does; gives its answer and the type of that."""
    inputs, outputs = list(graph.inputs()), list(graph.outputs())
    if len(inputs) != 2 or len(outputs) != 1:
        raise LoweringError(
            f"the method has {len(inputs) - 1} arguments and {len(outputs)} results, not one each"
        )
    module, observations = (value.debugName() for value in inputs)
    values: dict[str, Any] = {module: inputs[0], observations: builder.observation}
    _lower_nodes(builder, graph.nodes(), values)
    answer = values[outputs[0].debugName()]
    if isinstance(answer, Index):
        return builder.decide(answer.source, answer.piece), np.int64
    if isinstance(answer, Piece):
        return answer, np.float32
    raise LoweringError("the result is neither float32 nor an argmax of the observations")


def _lower_nodes(
    builder: ProgramBuilder, nodes: Iterable[torch.Node], values: dict[str, Any]
) -> None:
    """Lowers nodes in order; `values` is what each name stands for, theirs are added."""
    for node in nodes:
        arguments = [values[value.debugName()] for value in node.inputs()]
        if node.kind() == "prim::If":
            _lower_branch(builder, node, arguments[0], values)
        elif node.outputsSize() == 1:
            values[node.output().debugName()] = _lower_node(builder, node, arguments)
        else:
            raise LoweringError(f"{node.kind()} is not known")


def _lower_branch(
    builder: ProgramBuilder, node: torch.Node, condition: Any, values: dict[str, Any]
) -> None:
    """Lowers the branch that is always taken, because shapes alone decide it."""
    if not isinstance(condition, bool):
        raise LoweringError("prim::If depends on the observations")
    block = list(node.blocks())[0 if condition else 1]
    _lower_nodes(builder, block.nodes(), values)
    for output, source in zip(node.outputs(), block.outputs(), strict=True):
        values[output.debugName()] = values[source.debugName()]


def _lower_node(builder: ProgramBuilder, node: torch.Node, arguments: list[Any]) -> Any:
    if node.kind() == "prim::Constant":
        return _constant(node)
    if node.kind() == "prim::ListConstruct":
        return arguments
    overload = node.schema().partition("(")[0] or node.kind()
    operation = OPERATIONS.get(overload)
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
