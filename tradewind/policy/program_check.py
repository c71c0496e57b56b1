"""Is a program that came from a process that is not trusted safe to execute?

The kernel does what the instructions say without a look at bounds. Here each of them is followed
once: it reads what was written before it and nothing else, and writes inside the memory.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import LoweringError
from tradewind.policy import program as codes
from tradewind.policy.program import Program

__all__ = ["check_program"]

_MOST_INSTRUCTIONS: Final = 100_000
_MOST_MEMORY: Final = 1 << 24  # numbers: 64 MB for a call
_MOST_WORK: Final = 1 << 32  # multiplications and moves of one observation: a second or so
_SAME_SIZE: Final = frozenset((codes.NORMALIZE, codes.STANDARDIZE, *range(codes.RELU, codes.ADD)))


def check_program(program: Program, choices: int | None = None) -> None:
    """Follows every instruction of a program.

    Args:
        program: The program; its arrays have the types and dimensions that Program says.
        choices: How many actions there are, for a program that gives the index of one.

    Raises:
        LoweringError: It would read or write outside its arrays, read what it has not written, or
            take too long.
    """
    instructions, memory_size = program.instructions, program.memory_size
    if instructions.ndim != 2 or instructions.shape[1] != codes.INSTRUCTION_SIZE:
        raise _refusal("its instructions have another shape")
    if len(instructions) > _MOST_INSTRUCTIONS or not 0 < memory_size <= _MOST_MEMORY:
        raise _refusal(f"{len(instructions)} instructions, {memory_size} numbers of memory")
    follower = _Follower(program)
    for place, instruction in enumerate(instructions.tolist()):
        if not follower.follow(*instruction):
            raise _refusal(f"instruction {place} is {instruction}")
    if not follower.is_written(program.output_start, program.output_size):
        raise _refusal("its answer is not what it has calculated")
    if choices is not None and follower.choices(program.output_start) > choices:
        raise _refusal(f"its answer is not the index of one of {choices} actions")


def _refusal(what: str) -> LoweringError:
    return LoweringError(f"a program that cannot be executed: {what}")


class _Follower:
    """Which numbers of the memory are written, and which of them are indices of how many."""

    def __init__(self, program: Program) -> None:
        self._parameters = len(program.parameters)
        self._moments = len(program.moments)
        self._written: NDArray[np.bool_] = np.zeros(program.memory_size, np.bool_)
        self._written[: program.input_size] = True
        self._indices: dict[int, int] = {}
        self._decided: dict[int, int] = {}  # as _indices, or UNDECIDED
        self._work = 0

    def choices(self, place: int) -> float:
        """Of how many numbers a number of the memory is an index; infinity if of none."""
        return min(self._indices.get(place, math.inf), self._decided.get(place, math.inf))

    def is_written(self, start: int, size: int) -> bool:
        """Whether a piece lies in the memory and holds what was written."""
        inside = start >= 0 and size >= 1 and start + size <= len(self._written)
        return inside and bool(self._written[start : start + size].all())

    def follow(
        self,
        opcode: int,
        target: int,
        target_size: int,
        source: int,
        source_size: int,
        operand: int,
        operand_size: int,
    ) -> bool:
        """Whether an instruction may be executed; notes what it writes."""
        inside = target >= 0 and target_size >= 1 and target + target_size <= len(self._written)
        if not inside or operand < 0 or operand_size < 0:
            return False
        if opcode != codes.LOAD and not self.is_written(source, source_size):
            return False
        if not self._fits(opcode, target_size, source_size, operand, operand_size):
            return False
        self._work += target_size * (source_size if opcode == codes.LINEAR else 1) + source_size
        if self._work > _MOST_WORK:
            return False
        for known in (self._indices, self._decided):
            for index in [each for each in known if target <= each < target + target_size]:
                del known[index]
        if opcode == codes.ARGMAX:
            self._indices[target] = source_size
        elif opcode == codes.DECIDE:
            self._decided[target] = self._indices[operand]
        self._written[target : target + target_size] = True
        return True

    def _fits(self, opcode: int, target: int, source: int, operand: int, extra: int) -> bool:
        """Whether the sizes of an instruction belong together; see the opcodes."""
        if opcode in _SAME_SIZE and target != source:
            return False
        if opcode == codes.LOAD:
            return operand + target <= self._parameters
        if opcode == codes.COPY:
            return target == source
        if opcode == codes.NORMALIZE:
            return operand + 2 * target + 2 <= self._moments
        if opcode == codes.LINEAR:
            return operand + target + source * target <= self._parameters
        if opcode == codes.STANDARDIZE:
            return operand < self._parameters and extra >= 1 and source % extra == 0
        if codes.RELU <= opcode <= codes.LEAKY_RELU:
            return operand < self._parameters
        if codes.ADD <= opcode <= codes.MAXIMUM:
            sizes = (1, target)
            return source in sizes and extra in sizes and self.is_written(operand, extra)
        if opcode == codes.MEAN:
            return operand >= 1 and source % target == 0 and target % operand == 0
        if opcode == codes.ARGMAX:
            return target == 1
        if opcode == codes.DECIDE:
            return target == 1 and self._indices.get(operand, source + 1) <= source
        return False
