import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tradewind.policy import program
from tradewind.policy.program import Program, run_program, run_program_unlocked
from tradewind.policy.program_builder import ProgramBuilder

Floats = NDArray[np.float32]


def run(made: Program, observations: Floats) -> Floats:
    outputs = np.empty((len(observations), made.output_size), np.float32)
    run_program(made.pack(), observations, outputs)
    return outputs


def activation(opcode: int, size: int, constant: float = 0.0) -> Program:
    builder = ProgramBuilder((size,))
    return builder.build(builder.activate(opcode, builder.observation, constant), np.float32)


def test_tanh_over_all_magnitudes_is_within_its_bound() -> None:
    near = np.linspace(-10.0, 10.0, 200_001)
    wide = np.geomspace(1e-45, 3e38, 20_001)
    values = np.concatenate([near, wide, -wide]).astype(np.float32)
    found = run(activation(program.TANH, len(values)), values[None])[0]
    expected = np.tanh(values.astype(np.float64))
    assert np.abs(found - expected).max() < 2.5e-7
    small = np.abs(values) < 1e-3
    np.testing.assert_allclose(found[small], expected[small], rtol=1e-6, atol=1e-44)


@pytest.mark.parametrize(
    "opcode",
    [
        program.RELU,
        program.TANH,
        program.SIGMOID,
        program.SILU,
        program.GELU,
        program.SOFTPLUS,
        program.ELU,
        program.LEAKY_RELU,
    ],
)
def test_activation_with_nan_gives_nan(opcode: int) -> None:
    values = np.array([[np.nan, 1.0, np.nan]], np.float32)
    found = run(activation(opcode, 3, constant=0.5), values)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))


@settings(max_examples=40)
@given(
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 40),
    rows=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_linear_with_any_size_is_the_matrix_product(
    inputs: int, outputs: int, rows: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(outputs, inputs)).astype(np.float32)
    bias = generator.normal(size=outputs).astype(np.float32)
    observations = generator.normal(size=(rows, inputs)).astype(np.float32)
    builder = ProgramBuilder((inputs,))
    made = builder.build(builder.linear(builder.observation, weights, bias), np.float32)
    # The bound of a sum in any order (Higham, Accuracy and Stability, 2nd ed., 4.2).
    magnitude = np.abs(observations) @ np.abs(weights).T + np.abs(bias)
    allowed = (inputs + 1) * np.finfo(np.float32).eps * magnitude
    exact = observations.astype(np.float64) @ weights.T.astype(np.float64) + bias
    assert (np.abs(run(made, observations) - exact) <= allowed).all()


@pytest.mark.parametrize(
    ("values", "index"),
    [
        ([1.0, 3.0, 2.0], 1),
        ([3.0, 1.0, 3.0], 0),
        ([-np.inf, -np.inf], 0),
        ([0.0, np.nan, np.inf, np.nan], 1),
    ],
)
def test_argmax_takes_the_first_of_equals_and_a_nan_before_all(
    values: list[float], index: int
) -> None:
    builder = ProgramBuilder((len(values),))
    made = builder.build(builder.argmax(builder.observation), np.int64)
    assert run(made, np.array([values], np.float32)).tolist() == [[index]]


@pytest.mark.parametrize(
    ("values", "decided"),
    [
        ([1.0, 3.0, 2.0], 1),
        ([-np.inf, -5.0, -np.inf], 1),
        ([-np.inf, -np.inf], program.UNDECIDED),
        ([0.0, np.inf], program.UNDECIDED),
        ([0.0, np.nan, 1.0], program.UNDECIDED),
    ],
)
def test_decide_with_a_number_that_is_not_finite_takes_the_index_back(
    values: list[float], decided: int
) -> None:
    builder = ProgramBuilder((len(values),))
    index = builder.argmax(builder.observation)
    made = builder.build(builder.decide(builder.observation, index), np.int64)
    assert run(made, np.array([values], np.float32)).tolist() == [[decided]]


@pytest.mark.parametrize(
    ("opcode", "ufunc"),
    [
        (program.ADD, np.add),
        (program.SUBTRACT, np.subtract),
        (program.MULTIPLY, np.multiply),
        (program.DIVIDE, np.divide),
        (program.MINIMUM, np.minimum),
        (program.MAXIMUM, np.maximum),
    ],
)
def test_arithmetic_of_two_pieces_is_that_of_numpy(opcode: int, ufunc: np.ufunc) -> None:
    values = np.array([[1.5, -2.0, np.nan, np.inf, 3.0, 0.25, 1.0, -1.0]], np.float32)
    builder = ProgramBuilder((8,))
    constants = builder.load([2.0, np.nan, 1.0, 5.0, -4.0, 0.5, 1.0, 1e-9], (8,))
    both = builder.combine(opcode, builder.observation, constants)
    one = builder.combine(opcode, both, builder.load(3.0, (1,)))
    made = builder.build(one, np.float32)
    operand = np.array([2.0, np.nan, 1.0, 5.0, -4.0, 0.5, 1.0, 1e-9], np.float32)
    expected = ufunc(ufunc(values, operand), np.float32(3.0))
    np.testing.assert_array_equal(run(made, values), expected)


def test_normalization_is_that_of_float64_to_the_last_bit() -> None:
    generator = np.random.default_rng(3)
    observations = generator.normal(scale=1e3, size=(50, 7)).astype(np.float32)
    mean, scale = generator.normal(size=7), generator.uniform(1e-4, 1e4, size=7)
    builder = ProgramBuilder((7,))
    normalized = builder.normalize(builder.observation, mean, scale, (-10.0, 10.0))
    made = builder.build(normalized, np.float32)
    expected = np.clip((observations - mean) / scale, -10.0, 10.0).astype(np.float32)
    np.testing.assert_array_equal(run(made, observations), expected)


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_mean_over_any_dimension_is_that_of_numpy(dim: int) -> None:
    values = np.random.default_rng(4).normal(size=(2, 3, 4, 5)).astype(np.float32)
    builder = ProgramBuilder((3, 4, 5))
    averaged = builder.mean(builder.observation, dim, keep_dim=True)
    expected = values.mean(axis=dim + 1, keepdims=True)
    assert averaged.shape == expected.shape[1:]
    found = run(builder.build(averaged, np.float32), values.reshape(2, 60))
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-7)


def test_program_without_the_interpreter_lock_gives_the_same_bits() -> None:
    observations = np.random.default_rng(5).normal(size=(9, 6)).astype(np.float32)
    made = activation(program.SILU, 6)
    outputs = np.empty((9, 6), np.float32)
    run_program_unlocked(made.pack(), observations, outputs)
    np.testing.assert_array_equal(outputs, run(made, observations))
