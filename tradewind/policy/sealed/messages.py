"""What the two sides of a sealed process say, as JSON and arrays, and how each is checked."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewind.bundle import BundleFault, BundleMetadata, DiscreteSpace
from tradewind.errors import (
    BundleError,
    BundleFormatError,
    BundleGoldenError,
    BundleIntegrityError,
    BundleRuntimeError,
    LoweringError,
    StorageError,
    TradewindError,
    UnavailableError,
    VersionNotFoundError,
)
from tradewind.policy.compiled_network import LoweredNetwork
from tradewind.policy.program import Program
from tradewind.policy.program_check import check_program
from tradewind.sealing.wire import WireError

__all__ = [
    "error_message",
    "lowered_message",
    "read_error",
    "read_lowered",
    "read_text",
]

_LONGEST_TEXT: Final = 4_000
_SPACE: Final = re.compile(r"\s+")
_ERRORS: Final[dict[str, type[TradewindError]]] = {
    kind.__name__: kind
    for kind in (
        BundleError,
        BundleFormatError,
        BundleGoldenError,
        BundleIntegrityError,
        BundleRuntimeError,
        StorageError,
        UnavailableError,
        VersionNotFoundError,
    )
}
_ARRAYS_OF_A_PROGRAM: Final = 3
_PROGRAM_TYPES: Final = (np.dtype(np.int64), np.dtype(np.float32), np.dtype(np.float64))


def read_text(value: object) -> str:
    """Text of the other side, cut and without what could draw in a log or a terminal."""
    if not isinstance(value, str):
        raise WireError("no text")
    spaced = _SPACE.sub(" ", value[:_LONGEST_TEXT])
    return "".join(each if each.isprintable() else "?" for each in spaced)


def error_message(problem: TradewindError) -> dict[str, Any]:
    """What stands for an exception."""
    kind = next(each for each in type(problem).__mro__ if each.__name__ in _ERRORS)
    return {
        "error": kind.__name__,
        "message": str(problem)[:_LONGEST_TEXT],
        "reason": str(problem.reason),
        "metadata": problem.metadata,
    }


def read_error(message: Mapping[str, Any]) -> TradewindError:
    """The exception that a message stands for.

    Raises:
        WireError: It stands for none.
    """
    kind = _ERRORS.get(str(message.get("error")))
    metadata = message.get("metadata")
    if kind is None or not isinstance(metadata, dict) or len(metadata) > 16:
        raise WireError("no error")
    text = read_text(message.get("message"))
    named = {read_text(name)[:100]: read_text(value) for name, value in metadata.items()}
    if not issubclass(kind, BundleError):
        return kind(text, metadata=named)
    reason = message.get("reason")
    return kind(
        text,
        reason=reason if reason in tuple(BundleFault) else None,
        metadata=named,
    )


def lowered_message(lowered: LoweredNetwork) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """What stands for a lowered network: how its programs are laid out, and their arrays."""
    layout: list[dict[str, Any]] = []
    arrays: list[NDArray[Any]] = []
    for program in (lowered.act, lowered.distribution):
        layout.append(
            {
                "memory_size": program.memory_size,
                "output_start": program.output_start,
                "output_shape": program.output_shape,
            }
        )
        arrays += [program.instructions, program.parameters, program.moments]
    return {"reason": "", "programs": layout}, arrays


def read_lowered(
    message: Mapping[str, Any], arrays: list[NDArray[Any]], metadata: BundleMetadata
) -> LoweredNetwork:
    """The lowered network that a message stands for, every instruction of it followed.

    Args:
        message: The message.
        arrays: What came with it.
        metadata: Of the bundle: what the network must give.

    Raises:
        WireError: It is no lowered network of that bundle, or none that is safe to execute.
    """
    layout = message.get("programs")
    if not isinstance(layout, list) or len(layout) != 2 or len(arrays) != 2 * _ARRAYS_OF_A_PROGRAM:
        raise WireError("no lowered network")
    space = metadata.action_space
    act = _read_program(
        layout[0],
        arrays[:3],
        metadata.obs_space.size,
        metadata.action_shape(1),
        space.n if isinstance(space, DiscreteSpace) else None,
    )
    distribution = _read_program(
        layout[1],
        arrays[3:],
        metadata.obs_space.size,
        metadata.distribution_shape(1),
        None,
    )
    return LoweredNetwork(act, distribution)


def _read_program(
    layout: object,
    arrays: list[NDArray[Any]],
    input_size: int,
    answer_shape: tuple[int, ...],
    choices: int | None,
) -> Program:
    instructions, parameters, moments = arrays
    if not isinstance(layout, dict) or list(layout.get("output_shape", ())) != [*answer_shape[1:]]:
        raise WireError("a program that gives another shape")
    memory_size, output_start = layout.get("memory_size"), layout.get("output_start")
    if type(memory_size) is not int or type(output_start) is not int:
        raise WireError("a program without sizes")
    types = (instructions.dtype, parameters.dtype, moments.dtype)
    if types != _PROGRAM_TYPES or parameters.ndim != 1 or moments.ndim != 1:
        raise WireError("a program of other arrays")
    program = Program(
        instructions=instructions,
        parameters=parameters,
        moments=moments,
        input_size=input_size,
        memory_size=memory_size,
        output_start=output_start,
        output_shape=answer_shape[1:],
        output_type=np.dtype(np.float32 if choices is None else np.int64),
    )
    if program.memory_size < input_size or math.prod(answer_shape) < 1:
        raise WireError("a program without room for an observation")
    try:
        check_program(program, choices)
    except LoweringError as problem:
        raise WireError(str(problem)) from None
    return program
