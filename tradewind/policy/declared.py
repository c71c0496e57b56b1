"""The network that a bundle of format 2 declares, compiled: numbers and known operations alone."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.bundle import Bundle, BundleFault, BundleMetadata, DiscreteSpace, Weights
from tradewind.bundle import operations as ops
from tradewind.bundle.graph import OBSERVATION, Graph
from tradewind.errors import BundleError, BundleRuntimeError, LoweringError
from tradewind.policy.compiled_network import CompiledNetwork, LoweredNetwork
from tradewind.policy.golden import check_golden
from tradewind.policy.graph_recorder import ACTIVATIONS, COMBINATIONS, SCALED_ACTIVATIONS
from tradewind.policy.program import Program
from tradewind.policy.program_builder import Piece, ProgramBuilder
from tradewind.policy.program_check import check_program

__all__ = ["compile_declared", "lower_declared", "open_declared"]


def open_declared(bundle: Bundle) -> CompiledNetwork:
    """Compiles and warms up the declared network of a bundle, and checks its golden answers.

    Args:
        bundle: A verified bundle of format 2.

    Raises:
        BundleError: The network must not be used; `reason` and message name the cause.
    """
    try:
        network = CompiledNetwork(lower_declared(bundle.metadata, bundle.weights))
        network.warm_up(bundle.golden.observations)
        check_golden(network, bundle.golden)
    except BundleError as problem:
        raise type(problem)(
            f"bundle {bundle.metadata.name}/{bundle.metadata.version} is refused: {problem}",
            reason=problem.reason,
            metadata=problem.metadata,
        ) from None
    return network


def lower_declared(metadata: BundleMetadata, weights: Weights) -> LoweredNetwork:
    """The programs of a declared network, every instruction of them followed.

    Args:
        metadata: Of a bundle of format 2.
        weights: Its tensors, as read_weights gives them.

    Raises:
        BundleRuntimeError: It would take too much time or memory.
    """
    assert metadata.graph is not None
    lowered = compile_declared(metadata.graph, weights, metadata.obs_space.shape)
    space = metadata.action_space
    try:
        check_program(lowered.act, space.n if isinstance(space, DiscreteSpace) else None)
        check_program(lowered.distribution)
    except LoweringError as problem:
        raise BundleRuntimeError(str(problem), reason=BundleFault.MODEL_TOO_LARGE) from None
    return lowered


def compile_declared(
    graph: Graph, weights: Weights, observation_shape: tuple[int, ...]
) -> LoweredNetwork:
    """The programs of a graph.

    Args:
        graph: The graph, checked with the observation's shape.
        weights: Its tensors.
        observation_shape: Shape of one observation.
    """
    return LoweredNetwork(
        act=_compile(graph, graph.action, weights, observation_shape),
        distribution=_compile(graph, graph.distribution, weights, observation_shape),
    )


def _compile(
    graph: Graph, answer: str, weights: Weights, observation_shape: tuple[int, ...]
) -> Program:
    builder = ProgramBuilder(observation_shape)
    pieces = {OBSERVATION: builder.observation}
    output_type: type[np.generic] = np.float32
    for node in graph.up_to(answer):
        sources = [pieces[source] for source in node.sources]
        if isinstance(node, ops.Argmax):
            output_type = np.int64
        pieces[node.name] = _write(builder, node, sources, weights)
    return builder.build(pieces[answer], output_type)


def _write(
    builder: ProgramBuilder, node: ops.Node, sources: list[Piece], weights: Weights
) -> Piece:
    """Adds an operation to a program; gives its result."""
    match node:
        case ops.Linear() | ops.Convolution() | ops.Normalization() | ops.Constant():
            return _write_weighted(builder, node, sources, weights)
        case ops.View():
            return Piece(sources[0].start + node.start, node.shape)
        case ops.Activation():
            return builder.activate(ACTIVATIONS[node.op], sources[0])
        case ops.ScaledActivation():
            return builder.activate(SCALED_ACTIVATIONS[node.op], sources[0], node.constant)
        case ops.Combination():
            return replace(builder.combine(COMBINATIONS[node.op], *sources), shape=node.shape)
        case ops.Standardization():
            return builder.standardize(sources[0], node.group, node.epsilon)
        case ops.Mean():
            return builder.mean(sources[0], node.dim, keep_dim=False)
        case ops.Join():
            return builder.join(sources, node.shape)
        case ops.Argmax():
            return builder.decide(sources[0], builder.argmax(sources[0]))


def _write_weighted(
    builder: ProgramBuilder,
    node: ops.Linear | ops.Convolution | ops.Normalization | ops.Constant,
    sources: list[Piece],
    weights: Weights,
) -> Piece:
    def tensor(role: str) -> NDArray[Any]:
        return weights[f"{node.name}.{role}"]

    match node:
        case ops.Linear():
            return builder.linear(sources[0], tensor("weight"), tensor("bias"))
        case ops.Convolution():
            return builder.convolve(
                sources[0],
                tensor("weight"),
                tensor("bias"),
                stride=node.stride,
                padding=node.padding,
                dilation=node.dilation,
            )
        case ops.Normalization():
            low = -np.inf if node.low is None else node.low
            high = np.inf if node.high is None else node.high
            return builder.normalize(sources[0], tensor("mean"), tensor("scale"), (low, high))
        case ops.Constant():
            return builder.load(tensor("value"), node.shape)
