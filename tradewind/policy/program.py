"""A network as a list of instructions over plain arrays, and the one kernel that executes any.

Every instruction reads and writes contiguous pieces of one float32 memory that begins with the
observation; a row of a batch goes through the whole program before the next one begins. All that
differs between networks is data, so the kernel is compiled once for all of them.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewind.kernels.compiled import compiled

__all__ = ["Program", "run_program", "run_program_unlocked"]

Floats = NDArray[np.float32]

# Columns of an instruction: opcode, target start, target size, source start, source size, operand,
# operand size. Starts are places in the memory; `operand` is said with each opcode.
LOAD: Final = 0  # constants; operand: their place in `parameters`
COPY: Final = 1
NORMALIZE: Final = 2  # operand: place in `moments` of [mean, scale, lowest, highest]
LINEAR: Final = 3  # operand: place in `parameters` of the bias, then the weights [inputs, outputs]
# (x − mean) / √(variance + ε) of each group; operand: place in `parameters` of ε, operand size:
# numbers of a group
STANDARDIZE: Final = 4
RELU: Final = 5  # the first activation; LEAKY_RELU is the last
TANH: Final = 6
SIGMOID: Final = 7  # the first smooth activation; SOFTPLUS is the last
SILU: Final = 8
GELU: Final = 9
SOFTPLUS: Final = 10
ELU: Final = 11  # operand: place in `parameters` of α
LEAKY_RELU: Final = 12  # operand: place in `parameters` of the slope below 0
ADD: Final = 13  # source and right operand, each of the target's size or of size 1
SUBTRACT: Final = 14
MULTIPLY: Final = 15
DIVIDE: Final = 16
MINIMUM: Final = 17
MAXIMUM: Final = 18
MEAN: Final = 19  # over the middle of [outer, count, inner]; operand: inner
# Index of the first largest value; a NaN is larger than all others. float32 holds every index of an
# action space exactly.
ARGMAX: Final = 20
# An index of one of these numbers, or UNDECIDED if that number is not finite: a network that has
# overflowed must not choose an action. operand: place of the index in the memory
DECIDE: Final = 21
UNDECIDED: Final = -1

_SQRT_HALF: Final = math.sqrt(0.5)

INSTRUCTION_SIZE: Final = 7
_HEADER_SIZE: Final = 4


@dataclass(frozen=True, eq=False)
class Program:
    """What turns an observation into an answer.

    Attributes:
        instructions: int64 [instructions, INSTRUCTION_SIZE], in order.
        parameters: Weights and other constants, float32 [*].
        moments: Constants of float64 arithmetic [*].
        input_size: Numbers of an observation, with which the memory begins.
        memory_size: Numbers of the memory.
        output_start: Where the answer stands in the memory at the end.
        output_shape: Shape of the answer to one observation.
        output_type: float32, or int64 when the answer is an index.
    """

    instructions: NDArray[np.int64]
    parameters: Floats
    moments: NDArray[np.float64]
    input_size: int
    memory_size: int
    output_start: int
    output_shape: tuple[int, ...]
    output_type: np.dtype[Any]

    @property
    def output_size(self) -> int:
        """Numbers of the answer to one observation."""
        return math.prod(self.output_shape)

    def pack(self) -> NDArray[np.int64]:
        """The program as the one array that the kernel takes: an argument costs it 0.2 µs.

        Instruction count, size of the moments, memory size, output start; then instructions,
        moments and parameters, as the bits they are.
        """
        header = (len(self.instructions), len(self.moments), self.memory_size, self.output_start)
        parameters = np.pad(self.parameters, (0, len(self.parameters) % 2))
        parts = (self.instructions.ravel(), self.moments.view(np.int64), parameters.view(np.int64))
        return np.concatenate([np.array(header, np.int64), *parts])


@compiled
def _load(target: Floats, constants: Floats) -> None:
    for index in range(len(target)):
        target[index] = constants[index]


@compiled
def _normalize(target: Floats, source: Floats, moments: NDArray[np.float64]) -> None:
    """clip((source − mean) / scale) in float64, as VecNormalize does; NaN stays NaN."""
    count = len(target)
    lowest, highest = moments[2 * count], moments[2 * count + 1]
    for index in range(count):
        value = (np.float64(source[index]) - moments[index]) / moments[count + index]
        if value < lowest:
            value = lowest
        elif value > highest:
            value = highest
        target[index] = value


@compiled
def _linear(target: Floats, source: Floats, parameters: Floats) -> None:
    """A fully connected layer: target = bias + source · weights.

    The inner loop runs over the outputs, so it needs no sum across a vector register and is
    vectorised with its additions in the order written. Four inputs at a time are added up before
    they reach the target: a quarter of its loads and stores, and smaller rounding errors.
    """
    inputs, outputs = len(source), len(target)
    for j in range(outputs):
        target[j] = parameters[j]
    weights = parameters[outputs:]
    grouped = inputs - inputs % 4
    for i in range(0, grouped, 4):
        x0, x1, x2, x3 = source[i], source[i + 1], source[i + 2], source[i + 3]
        w0 = weights[i * outputs : (i + 1) * outputs]
        w1 = weights[(i + 1) * outputs : (i + 2) * outputs]
        w2 = weights[(i + 2) * outputs : (i + 3) * outputs]
        w3 = weights[(i + 3) * outputs : (i + 4) * outputs]
        for j in range(outputs):
            target[j] += (x0 * w0[j] + x1 * w1[j]) + (x2 * w2[j] + x3 * w3[j])
    for i in range(grouped, inputs):
        x, w = source[i], weights[i * outputs : (i + 1) * outputs]
        for j in range(outputs):
            target[j] += x * w[j]


@compiled
def _standardize(target: Floats, source: Floats, size: int, epsilon: float) -> None:
    """Every group of `size` numbers to mean 0 and variance 1; the sums are in float64."""
    for first in range(0, len(source), size):
        total = 0.0
        for index in range(first, first + size):
            total += source[index]
        mean = total / size
        squares = 0.0
        for index in range(first, first + size):
            squares += (source[index] - mean) * (source[index] - mean)
        scale = 1.0 / math.sqrt(squares / size + epsilon)
        for index in range(first, first + size):
            target[index] = (source[index] - mean) * scale


@compiled
def _tanh(target: Floats, source: Floats) -> None:
    """Hyperbolic tangent within 2.5e-7, in arithmetic that is vectorised, as a call of libm is not.

    Seven levels of the continued fraction for tanh(x / 2) = p / q (DLMF 4.39.1), then
    tanh(x) = 2 p q / (p² + q²). Beyond ±9, tanh is ±1 within 1e-7.
    """
    for index in range(len(target)):
        x = source[index]
        x = np.float32(9.0) if x > np.float32(9.0) else x
        x = np.float32(-9.0) if x < np.float32(-9.0) else x
        half = np.float32(0.5) * x
        s = half * half
        p = np.float32(378.0) + s
        p = np.float32(17325.0) + s * p
        p = half * (np.float32(135135.0) + s * p)
        q = np.float32(3150.0) + s * np.float32(28.0)
        q = np.float32(62370.0) + s * q
        q = np.float32(135135.0) + s * q
        target[index] = np.float32(2.0) * p * q / (p * p + q * q)


@compiled
def _activate_smoothly(opcode: int, target: Floats, source: Floats) -> None:
    """An activation made of exp or erf, element by element, in float64."""
    count = len(target)
    if opcode == SIGMOID:
        for index in range(count):
            target[index] = 1.0 / (1.0 + math.exp(-np.float64(source[index])))
    elif opcode == SILU:
        for index in range(count):
            value = np.float64(source[index])
            target[index] = value / (1.0 + math.exp(-value))
    elif opcode == GELU:
        for index in range(count):
            value = np.float64(source[index])
            target[index] = 0.5 * value * (1.0 + math.erf(value * _SQRT_HALF))
    else:
        for index in range(count):
            value = np.float64(source[index])
            target[index] = max(value, 0.0) + math.log1p(math.exp(-abs(value)))


@compiled
def _activate(opcode: int, target: Floats, source: Floats, constants: Floats) -> None:
    """An activation, element by element; torch's definitions."""
    count = len(target)
    if opcode == TANH:
        _tanh(target, source)
    elif opcode == RELU:
        for index in range(count):
            value = source[index]
            target[index] = np.float32(0.0) if value < np.float32(0.0) else value
    elif SIGMOID <= opcode <= SOFTPLUS:
        _activate_smoothly(opcode, target, source)
    elif opcode == ELU:
        for index in range(count):
            value = source[index]
            target[index] = constants[0] * math.expm1(value) if value < 0.0 else value
    else:
        for index in range(count):
            value = source[index]
            target[index] = constants[0] * value if value < 0.0 else value


@compiled
def _combine(opcode: int, target: Floats, left: Floats, right: Floats) -> None:
    """Arithmetic of two arrays, element by element; NaN stays NaN."""
    left_step = 0 if len(left) == 1 else 1
    right_step = 0 if len(right) == 1 else 1
    for index in range(len(target)):
        a, b = left[index * left_step], right[index * right_step]
        if opcode == ADD:
            target[index] = a + b
        elif opcode == SUBTRACT:
            target[index] = a - b
        elif opcode == MULTIPLY:
            target[index] = a * b
        elif opcode == DIVIDE:
            target[index] = a / b
        elif opcode == MINIMUM:
            target[index] = b if b < a or b != b else a
        else:
            target[index] = b if b > a or b != b else a


@compiled
def _mean(target: Floats, source: Floats, inner: int) -> None:
    count = len(source) // len(target)
    for index in range(len(target)):
        first = index // inner * count * inner + index % inner
        total = 0.0
        for item in range(count):
            total += source[first + item * inner]
        target[index] = total / count


@compiled
def _argmax(source: Floats) -> int:
    best = 0
    for index in range(1, len(source)):
        if not source[index] <= source[best] and source[best] == source[best]:
            best = index
    return best


@compiled
def _decide(source: Floats, index: np.float32) -> np.float32:
    return index if math.isfinite(source[int(index)]) else np.float32(UNDECIDED)


@compiled
def _execute(
    instruction: NDArray[np.int64],
    parameters: Floats,
    moments: NDArray[np.float64],
    memory: Floats,
) -> None:
    opcode, operand = instruction[0], instruction[5]
    target = memory[instruction[1] : instruction[1] + instruction[2]]
    source = memory[instruction[3] : instruction[3] + instruction[4]]
    if opcode == LINEAR:
        _linear(target, source, parameters[operand:])
    elif RELU <= opcode <= LEAKY_RELU:
        _activate(opcode, target, source, parameters[operand:])
    elif opcode == STANDARDIZE:
        _standardize(target, source, instruction[6], parameters[operand])
    elif opcode == NORMALIZE:
        _normalize(target, source, moments[operand:])
    elif opcode == LOAD:
        _load(target, parameters[operand:])
    elif opcode == COPY:
        _load(target, source)
    elif opcode == MEAN:
        _mean(target, source, operand)
    elif opcode == ARGMAX:
        target[0] = _argmax(source)
    elif opcode == DECIDE:
        target[0] = _decide(source, memory[operand])
    else:
        _combine(opcode, target, source, memory[operand : operand + instruction[6]])


@compiled
def _execute_all(
    instructions: NDArray[np.int64],
    parameters: Floats,
    moments: NDArray[np.float64],
    memory: Floats,
    observations: Floats,
    outputs: Floats,
    output_start: int,
) -> None:
    for row in range(len(observations)):
        _load(memory[: observations.shape[1]], observations[row])
        for step in range(len(instructions)):
            _execute(instructions[step], parameters, moments, memory)
        _load(outputs[row], memory[output_start:])


@compiled(holds_lock=True, allocates=True)
def run_program(packed: NDArray[np.int64], observations: Floats, outputs: Floats) -> None:
    """Executes a program and holds the interpreter lock meanwhile.

    Args:
        packed: What Program.pack gives.
        observations: [N, observation size].
        outputs: Where the answers go. Shape: [N, output size].
    """
    moments_start = _HEADER_SIZE + packed[0] * INSTRUCTION_SIZE
    parameters_start = moments_start + packed[1]
    instructions = packed[_HEADER_SIZE:moments_start].reshape(packed[0], INSTRUCTION_SIZE)
    moments = packed[moments_start:parameters_start].view(np.float64)
    parameters = packed[parameters_start:].view(np.float32)
    memory = np.empty(packed[2], np.float32)
    _execute_all(instructions, parameters, moments, memory, observations, outputs, packed[3])


@compiled(allocates=True)
def run_program_unlocked(packed: NDArray[np.int64], observations: Floats, outputs: Floats) -> None:
    """Executes a program with the interpreter lock released; see run_program."""
    run_program(packed, observations, outputs)
