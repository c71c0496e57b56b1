"""The compiled runtime: executes a network that was lowered to programs. Needs no torch."""

import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewind.policy.program import Program, run_program, run_program_unlocked

__all__ = ["CompiledNetwork", "LoweredNetwork"]

_LOCKED_WORK: Final = 1 << 20
"""Most multiplications of a call that keeps the interpreter lock: about 0.1 ms of one core."""


@dataclass(frozen=True, eq=False)
class LoweredNetwork:
    """A network as plain arrays, which can go to another process.

    Attributes:
        act: Observation to action.
        distribution: Observation to the parameters of the distribution.
    """

    act: Program
    distribution: Program


class CompiledNetwork:
    """A lowered network on the CPU. Nothing is compiled for it but by the first one of a process.

    Args:
        lowered: The network.

    Attributes:
        memory_bytes: Of its weights and other constants.
    """

    runtime: Final = "compiled"

    def __init__(self, lowered: LoweredNetwork) -> None:
        self._act = _Method(lowered.act)
        self._distribution = _Method(lowered.distribution)
        self.memory_bytes = self._act.memory_bytes + self._distribution.memory_bytes

    def act(self, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        """The actions in the mode of the distribution.

        Args:
            observations: [N, *shape], writable, finite.

        Returns:
            int64 [N] or float32 [N, *action shape], and the nanoseconds of the network alone. A
            discrete action is UNDECIDED where the number that it would be chosen for is not finite.
        """
        return self._act(observations)

    def distribution(self, observations: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """The parameters of the distribution, and the nanoseconds of the network alone.

        Args:
            observations: [N, *shape], writable, finite.
        """
        return self._distribution(observations)

    def warm_up(self, observations: NDArray[np.float32]) -> None:
        """Compiles the kernel, or loads it from the cache on disk, unless that is done.

        Args:
            observations: [N, *shape].
        """
        for method in (self._act, self._distribution):
            for run in (run_program, run_program_unlocked):
                method.execute(run, observations)


class _Method:
    """A program, with what every call needs of it laid out."""

    def __init__(self, program: Program) -> None:
        self._packed = program.pack()
        self.memory_bytes = self._packed.nbytes
        self._input_size = program.input_size
        self._output_size = program.output_size
        self._output_shape = program.output_shape
        self._output_type = program.output_type
        self._locked_rows = _LOCKED_WORK // max(1, len(program.parameters))

    def __call__(self, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        locked = len(observations) <= self._locked_rows
        return self.execute(run_program if locked else run_program_unlocked, observations)

    def execute(self, run: Any, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        count = len(observations)
        rows = np.ascontiguousarray(observations.reshape(count, self._input_size))
        outputs = np.empty((count, self._output_size), np.float32)
        started = time.perf_counter_ns()
        run(self._packed, rows, outputs)
        elapsed = time.perf_counter_ns() - started
        answers = outputs.reshape(count, *self._output_shape)
        return answers.astype(self._output_type, copy=False), elapsed
