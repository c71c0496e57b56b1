"""Layers and activations of a TorchScript graph, as instructions of a program."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tradewind.bundle.operations import LARGEST_CONVOLUTION, convolution_steps
from tradewind.errors import LoweringError
from tradewind.policy import program
from tradewind.policy.operands import load_constants, to_constants, to_float32, to_piece
from tradewind.policy.program_builder import Piece, ProgramBuilder

__all__ = ["LAYERS"]

_SELU_ALPHA: Final = 1.6732632423543772
_SELU_SCALE: Final = 1.0507009873554805
_SOFTPLUS_THRESHOLD: Final = 20  # beyond it, torch gives the input itself


def _linear(builder: ProgramBuilder, value: Any, weight: Any, bias: Any) -> Piece:
    source, weights = to_piece(value), to_float32(weight)
    if source.shape != weights.shape[1:]:
        raise LoweringError(f"rows of shape {source.shape} meet weights {weights.shape}")
    biases = np.zeros(len(weights), np.float32) if bias is None else to_float32(bias)
    return builder.linear(source, weights, biases)


def _conv1d(
    builder: ProgramBuilder,
    value: Any,
    weight: Any,
    bias: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Piece:
    source, kernels = to_piece(value), to_float32(weight)
    outputs, inputs, taps = kernels.shape
    channels, length = source.shape
    if groups != 1 or channels != inputs:
        raise LoweringError(f"rows of shape {source.shape} meet kernels {kernels.shape}")
    steps = convolution_steps(length, taps, stride[0], padding[0], dilation[0])
    if outputs * steps * source.size > LARGEST_CONVOLUTION:
        raise LoweringError(f"of {outputs * steps} numbers from {source.size}: too large")
    return builder.convolve(
        source,
        kernels,
        np.zeros(outputs, np.float32) if bias is None else to_float32(bias),
        stride=stride[0],
        padding=padding[0],
        dilation=dilation[0],
    )


def _layer_norm(
    builder: ProgramBuilder,
    value: Any,
    shape: list[int],
    weight: Any,
    bias: Any,
    epsilon: float,
    _cudnn: bool,
) -> Piece:
    source = to_piece(value)
    if source.shape[len(source.shape) - len(shape) :] != tuple(shape):
        raise LoweringError(f"over {shape} of rows of shape {source.shape}")
    result = builder.standardize(source, int(np.prod(shape)), epsilon)
    return _affine(builder, result, weight, bias)


def _batch_norm(
    builder: ProgramBuilder,
    value: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    training: bool,
    _momentum: float,
    epsilon: float,
    _cudnn: bool,
) -> Piece:
    """With the statistics of the training, a factor and a summand for each channel."""
    source = to_piece(value)
    if training or variance is None:
        raise LoweringError("over the batch")
    factor = 1.0 / np.sqrt(to_float32(variance).astype(np.float64) + epsilon)
    if weight is not None:
        factor = factor * to_float32(weight)
    summand = -to_float32(mean) * factor
    if bias is not None:
        summand = summand + to_float32(bias)
    by_channel = (-1, *(1 for _ in source.shape[1:]))
    return _affine(
        builder,
        source,
        factor.astype(np.float32).reshape(by_channel),
        summand.astype(np.float32).reshape(by_channel),
    )


def _affine(builder: ProgramBuilder, source: Piece, factor: Any, summand: Any) -> Piece:
    result = source
    if factor is not None:
        factors = load_constants(builder, factor, source.shape)
        result = builder.combine(program.MULTIPLY, result, factors)
    if summand is not None:
        summands = load_constants(builder, summand, source.shape)
        result = builder.combine(program.ADD, result, summands)
    return result


def _activation(opcode: int) -> Callable[..., Piece]:
    def lower(builder: ProgramBuilder, value: Any, constant: float = 0.0) -> Piece:
        return builder.activate(opcode, to_piece(value), constant)

    return lower


def _elu(
    builder: ProgramBuilder, value: Any, alpha: float, scale: float, input_scale: float
) -> Piece:
    if input_scale != 1:
        raise LoweringError("with a scaled input")
    result = builder.activate(program.ELU, to_piece(value), alpha)
    return result if scale == 1 else _affine(builder, result, to_constants(scale), None)


def _selu(builder: ProgramBuilder, value: Any) -> Piece:
    return _elu(builder, value, _SELU_ALPHA, _SELU_SCALE, 1)


def _gelu(builder: ProgramBuilder, value: Any, approximate: str) -> Piece:
    if approximate != "none":
        raise LoweringError(f"approximated by {approximate}")
    return builder.activate(program.GELU, to_piece(value))


def _softplus(builder: ProgramBuilder, value: Any, beta: float, threshold: float) -> Piece:
    if beta != 1 or threshold != _SOFTPLUS_THRESHOLD:
        raise LoweringError(f"with beta {beta} and threshold {threshold}")
    return builder.activate(program.SOFTPLUS, to_piece(value))


def _mish(builder: ProgramBuilder, value: Any) -> Piece:
    source = to_piece(value)
    gate = builder.activate(program.TANH, builder.activate(program.SOFTPLUS, source))
    return builder.combine(program.MULTIPLY, source, gate)


def _hardtanh(builder: ProgramBuilder, value: Any, lowest: float, highest: float) -> Piece:
    result = to_piece(value)
    for opcode, bound in ((program.MAXIMUM, lowest), (program.MINIMUM, highest)):
        bounds = load_constants(builder, bound, result.shape)
        result = builder.combine(opcode, result, bounds)
    return result


LAYERS: Final[dict[str, Callable[..., Any]]] = {
    "aten::linear": _linear,
    "aten::conv1d": _conv1d,
    "aten::layer_norm": _layer_norm,
    "aten::batch_norm": _batch_norm,
    "aten::relu": _activation(program.RELU),
    "aten::tanh": _activation(program.TANH),
    "aten::sigmoid": _activation(program.SIGMOID),
    "aten::silu": _activation(program.SILU),
    "aten::leaky_relu": _activation(program.LEAKY_RELU),
    "aten::elu": _elu,
    "aten::selu": _selu,
    "aten::gelu": _gelu,
    "aten::softplus": _softplus,
    "aten::mish": _mish,
    "aten::hardtanh": _hardtanh,
}
