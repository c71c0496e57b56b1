import itertools
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from tradewind.policy import program
from tradewind.policy.compiled_network import CompiledNetwork, LoweredNetwork
from tradewind.policy.program import run_program
from tradewind.policy.program_builder import ProgramBuilder


def lowered(sizes: list[int], seed: int = 1) -> LoweredNetwork:
    """A multilayer perceptron with tanh between the layers: index of the best output, outputs."""
    generator = np.random.default_rng(seed)
    builder = ProgramBuilder(sizes[:1])
    piece = builder.observation
    for inputs, outputs in itertools.pairwise(sizes):
        weights = generator.normal(size=(outputs, inputs)) / np.sqrt(inputs)
        activated = builder.activate(program.TANH, piece) if piece.start else piece
        piece = builder.linear(activated, weights, generator.normal(size=outputs))
    outputs_program = builder.build(piece, np.float32)
    return LoweredNetwork(
        act=builder.build(builder.argmax(piece), np.int64), distribution=outputs_program
    )


def normal(shape: tuple[int, ...], seed: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def network() -> CompiledNetwork:
    return CompiledNetwork(lowered([12, 32, 5]))


def test_row_alone_gives_the_bits_it_gives_in_a_batch(network: CompiledNetwork) -> None:
    observations = normal((40, 12))
    together, _ = network.distribution(observations)
    for index in range(40):
        alone, elapsed = network.distribution(observations[index : index + 1])
        np.testing.assert_array_equal(alone[0], together[index])
        assert elapsed > 0


def test_batch_beyond_the_locked_work_gives_the_same_bits(network: CompiledNetwork) -> None:
    observations = normal((4000, 12))  # 4000 rows of 597 parameters: above 2^20
    together, _ = network.act(observations)
    parts = [network.act(observations[start : start + 500])[0] for start in range(0, 4000, 500)]
    np.testing.assert_array_equal(together, np.concatenate(parts), strict=True)
    assert len(np.unique(together)) > 1


def test_observations_of_any_layout_give_the_same_bits(network: CompiledNetwork) -> None:
    observations = normal((6, 3, 4))
    expected, _ = network.distribution(observations)
    for layout in (np.asfortranarray(observations), np.repeat(observations, 2, axis=0)[::2]):
        found, _ = network.distribution(layout)
        np.testing.assert_array_equal(found, expected)


def test_observations_of_another_size_are_refused(network: CompiledNetwork) -> None:
    with pytest.raises(ValueError, match="reshape"):
        network.act(normal((2, 13)))


def test_calls_from_many_threads_give_each_its_own_answer(network: CompiledNetwork) -> None:
    observations = normal((16, 12))
    expected, _ = network.distribution(observations)
    large, _ = network.distribution(np.tile(observations, (200, 1)))
    wrong: list[int] = []

    def work(offset: int) -> None:
        for call in range(200):
            row = (offset + call) % 16
            found, _ = network.distribution(observations[row : row + 1])
            if not np.array_equal(found[0], expected[row]):
                wrong.append(row)
        batch, _ = network.distribution(np.tile(observations, (200, 1)))
        if not np.array_equal(batch, large):
            wrong.append(-1)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_lowered_network_from_another_process_gives_the_same_bits(
    network: CompiledNetwork,
) -> None:
    received: LoweredNetwork = pickle.loads(pickle.dumps(lowered([12, 32, 5])))
    observations = normal((5, 12))
    found, _ = CompiledNetwork(received).distribution(observations)
    np.testing.assert_array_equal(found, network.distribution(observations)[0])


def test_second_network_compiles_nothing(network: CompiledNetwork) -> None:
    network.warm_up(normal((2, 12)))
    compiled_before = list(run_program.signatures)  # type: ignore[attr-defined]
    other = CompiledNetwork(lowered([7, 64, 64, 3], seed=3))
    other.warm_up(normal((2, 7)))
    other.act(normal((5000, 7)))
    assert run_program.signatures == compiled_before  # type: ignore[attr-defined]
    assert len(compiled_before) == 1


def test_kernel_in_a_new_process_comes_from_the_cache(network: CompiledNetwork) -> None:
    network.warm_up(normal((2, 12)))
    code = (
        "import numpy as np\n"
        "from tradewind.policy import program\n"
        "from tradewind.policy.program_builder import ProgramBuilder\n"
        "builder = ProgramBuilder((4,))\n"
        "packed = builder.build(builder.observation, np.float32).pack()\n"
        "kernels = (program.run_program, program.run_program_unlocked)\n"
        "for kernel in kernels:\n"
        "    kernel(packed, np.ones((1, 4), np.float32), np.empty((1, 4), np.float32))\n"
        "print([sum(kernel.stats.cache_misses.values()) for kernel in kernels])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[0, 0]"
