"""A program that a compromised process hands over cannot reach beyond its own arrays."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradewind.bundle import DiscreteSpace, read_bundle
from tradewind.errors import LoweringError
from tradewind.policy import CompiledNetwork, TorchScriptNetwork, lower_network
from tradewind.policy import program as codes
from tradewind.policy.program import Program
from tradewind.policy.program_check import check_program
from tradewind.policy.sealed.messages import lowered_message, read_lowered
from tradewind.sealing.wire import WireError

RELEASED = sorted((Path(__file__).parents[2] / "contract/bundle/store_v1").glob("*/*"))


def make(*instructions: tuple[int, ...], **changes: Any) -> Program:
    """A program of one observed pair, with 8 parameters, 6 moments and 16 numbers of memory."""
    values: dict[str, Any] = {
        "instructions": np.array(instructions, np.int64).reshape(-1, 7),
        "parameters": np.zeros(8, np.float32),
        "moments": np.ones(6),
        "input_size": 2,
        "memory_size": 16,
        "output_start": 2,
        "output_shape": (2,),
        "output_type": np.dtype(np.float32),
        **changes,
    }
    return Program(**values)


RELU = (codes.RELU, 2, 2, 0, 2, 0, 0)


@pytest.mark.parametrize(
    "program",
    [
        make(),
        make((codes.COPY, 15, 2, 0, 2, 0, 0)),
        make((codes.COPY, -1, 2, 0, 2, 0, 0)),
        make((codes.COPY, 2, 2, 3, 2, 0, 0)),
        make((codes.COPY, 2, 2, 0, 1, 0, 0)),
        make((codes.RELU, 2, 3, 0, 2, 0, 0), output_shape=(3,)),
        make((codes.RELU, 2, 0, 0, 2, 0, 0)),
        make((codes.ELU, 2, 2, 0, 2, 8, 0)),
        make((codes.ELU, 2, 2, 0, 2, -1, 0)),
        make((codes.LOAD, 2, 2, 2, 2, 7, 0)),
        make((codes.LINEAR, 2, 3, 0, 2, 0, 0), output_shape=(3,)),
        make((codes.LINEAR, 2, 2, 0, 2, 3, 0)),
        make((codes.NORMALIZE, 2, 2, 0, 2, 1, 0)),
        make((codes.STANDARDIZE, 2, 2, 0, 2, 0, 0)),
        make((codes.STANDARDIZE, 2, 2, 0, 2, 8, 1)),
        make((codes.ADD, 2, 2, 0, 2, 3, 2)),
        make((codes.ADD, 2, 2, 0, 2, 15, 2)),
        make((codes.ADD, 2, 4, 0, 2, 0, 2), output_shape=(4,)),
        make((codes.MEAN, 2, 2, 0, 2, 0, 0)),
        make((codes.MEAN, 2, 2, 0, 2, 3, 0)),
        make((codes.ARGMAX, 2, 2, 0, 2, 0, 0)),
        make((codes.DECIDE, 2, 1, 0, 2, 0, 0), output_shape=(1,)),
        make((22, 2, 2, 0, 2, 0, 0)),
        make((-1, 2, 2, 0, 2, 0, 0)),
        make(RELU, output_start=3),
        make(RELU, output_start=-2),
        make(RELU, output_start=2**40),
        make(RELU, memory_size=2**40),
        make(*[RELU] * 100_001),
        make(RELU, instructions=np.zeros((1, 6), np.int64)),
    ],
)
def test_program_that_reaches_beyond_its_arrays_is_refused(program: Program) -> None:
    with pytest.raises(LoweringError, match="cannot be executed"):
        check_program(program)


def test_program_that_stays_inside_is_executed() -> None:
    check_program(make(RELU))
    argmax = (codes.ARGMAX, 2, 1, 0, 2, 0, 0)
    decide = (codes.DECIDE, 3, 1, 0, 2, 2, 0)
    program = make(argmax, decide, output_start=3, output_shape=())
    check_program(program, choices=2)
    with pytest.raises(LoweringError, match="index of one of 1 actions"):
        check_program(program, choices=1)
    overwritten = make(argmax, (codes.COPY, 2, 1, 0, 1, 0, 0), decide, output_start=3)
    with pytest.raises(LoweringError):
        check_program(overwritten)


@pytest.mark.parametrize("folder", RELEASED, ids=lambda path: path.parent.name)
def test_lowered_network_of_a_release_arrives_whole_and_a_forged_one_does_not(folder: Path) -> None:
    bundle = read_bundle(folder)
    lowered = lower_network(TorchScriptNetwork(bundle.policy_pt), bundle.metadata.obs_space.shape)
    message, arrays = lowered_message(lowered)
    message["programs"] = [
        {**layout, "output_shape": list(layout["output_shape"])} for layout in message["programs"]
    ]
    again = CompiledNetwork(read_lowered(message, arrays, bundle.metadata))
    np.testing.assert_allclose(
        again.act(bundle.golden.observations)[0], bundle.golden.actions, atol=1e-5
    )

    def forged(place: int, change: Callable[[np.ndarray[Any, Any]], None]) -> list[Any]:
        copies = [array.copy() for array in arrays]
        change(copies[place])
        return copies

    def far(instructions: np.ndarray[Any, Any]) -> None:
        instructions[0, 3] = 1 << 30

    first, second = message["programs"]
    for layout, sent in (
        (message, forged(0, far)),
        (message, arrays[:5]),
        (message, [array.astype(np.float64) for array in arrays]),
        ({"programs": [first]}, arrays),
        ({"programs": [{**first, "memory_size": 1}, second]}, arrays),
        ({"programs": [{**first, "memory_size": "1"}, second]}, arrays),
        ({"programs": [{**first, "output_shape": [9, 9]}, second]}, arrays),
        ({}, arrays),
    ):
        with pytest.raises(WireError):
            read_lowered(layout, sent, bundle.metadata)
    if isinstance(bundle.metadata.action_space, DiscreteSpace):
        fewer = bundle.metadata.model_copy(update={"action_space": DiscreteSpace(n=2)})
        with pytest.raises(WireError, match=r"index of one of 2 actions|another shape"):
            read_lowered(message, arrays, fewer)


def test_programs_of_random_numbers_never_crash_the_kernel() -> None:
    generator = np.random.default_rng(11)
    accepted = 0
    for _ in range(20_000):
        instructions = np.column_stack(
            [
                generator.integers(-1, 24, 2),
                generator.integers(0, 8, 2),
                generator.integers(0, 4, 2),
                generator.integers(0, 8, 2),
                generator.integers(0, 4, 2),
                generator.integers(0, 10, 2),
                generator.integers(0, 4, 2),
            ]
        )
        program = dataclasses.replace(
            make(RELU), instructions=np.vstack([RELU, instructions]), memory_size=8
        )
        try:
            check_program(program)
        except LoweringError:
            continue
        accepted += 1
        network = CompiledNetwork(_twice(program))
        answer, _ = network.act(np.ones((2, 2), np.float32))
        assert answer.shape == (2, 2)
    assert accepted > 20


def _twice(program: Program) -> Any:
    from tradewind.policy import LoweredNetwork

    return LoweredNetwork(program, program)
