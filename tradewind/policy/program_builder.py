"""Writes a program, one instruction after the other, and hands out the memory it works on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.bundle.operations import convolution_steps
from tradewind.policy import program
from tradewind.policy.program import Program

__all__ = ["Piece", "ProgramBuilder"]


@dataclass(frozen=True)
class Piece:
    """A contiguous part of the memory.

    Attributes:
        start: Its first number.
        shape: What it holds, in row-major order.
    """

    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


class ProgramBuilder:
    """The program so far. Every method but `build` adds one instruction and gives its target.

    Args:
        observation_shape: Shape of one observation.

    Attributes:
        observation: Where a program finds the observation.
    """

    def __init__(self, observation_shape: Sequence[int]) -> None:
        self._memory_size = 0
        self._instructions: list[tuple[int, ...]] = []
        self._parameters: list[NDArray[np.float32]] = []
        self._moments: list[NDArray[np.float64]] = []
        self.observation = self._allocate(tuple(observation_shape))

    def build(self, answer: Piece, output_type: type[np.generic]) -> Program:
        """The program that gives a piece as its answer, of type float32 or int64."""
        return Program(
            instructions=np.array(self._instructions, np.int64).reshape(
                -1, program.INSTRUCTION_SIZE
            ),
            parameters=np.concatenate([np.empty(0, np.float32), *self._parameters]),
            moments=np.concatenate([np.empty(0, np.float64), *self._moments]),
            input_size=self.observation.size,
            memory_size=self._memory_size,
            output_start=answer.start,
            output_shape=answer.shape,
            output_type=np.dtype(output_type),
        )

    def load(self, constants: ArrayLike, shape: tuple[int, ...]) -> Piece:
        """Constants that can be broadcast to a shape."""
        target = self._allocate(shape)
        values = np.broadcast_to(np.asarray(constants, np.float32), shape)
        self._write(program.LOAD, target, target, self._add_parameters(values))
        return target

    def normalize(
        self,
        source: Piece,
        mean: ArrayLike,
        scale: ArrayLike,
        bounds: tuple[float, float],
    ) -> Piece:
        """clip((source − mean) / scale) in float64; `bounds` are the lowest and highest value."""
        place = sum(map(len, self._moments))
        for moment in (mean, scale):
            values = np.asarray(moment, np.float64)
            self._moments.append(np.broadcast_to(values, source.shape).ravel())
        self._moments.append(np.array(bounds, np.float64))
        return self._emit(program.NORMALIZE, source.shape, source, place)

    def linear(self, source: Piece, weights: ArrayLike, bias: ArrayLike) -> Piece:
        """A fully connected layer.

        Args:
            source: [inputs].
            weights: As torch has them: [outputs, inputs].
            bias: [outputs].
        """
        matrix = np.asarray(weights, np.float32)
        place = self._add_parameters(np.asarray(bias, np.float32))
        self._add_parameters(matrix.T)
        return self._emit(program.LINEAR, (len(matrix),), source, place)

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
        """A convolution as the fully connected layer that it is, zero where a kernel is not.

        Args:
            source: [channels, length].
            kernels: [outputs, channels, taps].
            bias: [outputs].
            stride: Steps from one place of the kernels to the next.
            padding: Zeros before and after the source.
            dilation: Steps from one number that a kernel sees to the next.
        """
        outputs, _, taps = kernels.shape
        channels, length = source.shape
        steps = convolution_steps(length, taps, stride, padding, dilation)
        matrix = np.zeros((outputs, steps, channels, length), np.float32)
        for step in range(steps):
            for tap in range(taps):
                place = step * stride - padding + tap * dilation
                if 0 <= place < length:
                    matrix[:, step, :, place] = kernels[:, :, tap]
        flat = replace(source, shape=(source.size,))
        biases = np.repeat(np.asarray(bias, np.float32), steps)
        result = self.linear(flat, matrix.reshape(-1, source.size), biases)
        return replace(result, shape=(outputs, steps))

    def standardize(self, source: Piece, size: int, epsilon: float) -> Piece:
        """(x − mean) / √(variance + ε) over each group of `size` successive numbers."""
        place = self._add_parameters(np.array([epsilon], np.float32))
        return self._emit(program.STANDARDIZE, source.shape, source, place, size)

    def activate(self, opcode: int, source: Piece, constant: float = 0.0) -> Piece:
        """An activation, with the constant that its opcode tells."""
        place = self._add_parameters(np.array([constant], np.float32))
        return self._emit(opcode, source.shape, source, place)

    def combine(self, opcode: int, left: Piece, right: Piece) -> Piece:
        """Arithmetic of two pieces of one size, or of one with a piece of size 1."""
        shape = left.shape if left.size >= right.size else right.shape
        return self._emit(opcode, shape, left, right.start, right.size)

    def mean(self, source: Piece, dim: int, *, keep_dim: bool) -> Piece:
        """Arithmetic mean over one dimension."""
        before, after = source.shape[:dim], source.shape[dim + 1 :]
        shape = (*before, 1, *after) if keep_dim else (*before, *after)
        return self._emit(program.MEAN, shape, source, math.prod(after))

    def argmax(self, source: Piece) -> Piece:
        """Index of the largest number, the first of equals."""
        return self._emit(program.ARGMAX, (), source)

    def decide(self, source: Piece, index: Piece) -> Piece:
        """An index of the source, or UNDECIDED where the number it stands for is not finite."""
        return self._emit(program.DECIDE, (), source, index.start)

    def join(self, parts: Sequence[Piece], shape: tuple[int, ...]) -> Piece:
        """Copies pieces one behind the other; as many instructions as pieces."""
        target = self._allocate(shape)
        place = target.start
        for part in parts:
            self._write(program.COPY, Piece(place, part.shape), part)
            place += part.size
        return target

    def _allocate(self, shape: tuple[int, ...]) -> Piece:
        piece = Piece(self._memory_size, shape)
        self._memory_size += piece.size
        return piece

    def _add_parameters(self, values: NDArray[np.float32]) -> int:
        place = sum(map(len, self._parameters))
        self._parameters.append(values.ravel())
        return place

    def _emit(
        self,
        opcode: int,
        shape: tuple[int, ...],
        source: Piece,
        operand: int = 0,
        operand_size: int = 0,
    ) -> Piece:
        target = self._allocate(shape)
        self._write(opcode, target, source, operand, operand_size)
        return target

    def _write(
        self, opcode: int, target: Piece, source: Piece, operand: int = 0, operand_size: int = 0
    ) -> None:
        self._instructions.append(
            (opcode, target.start, target.size, source.start, source.size, operand, operand_size)
        )
