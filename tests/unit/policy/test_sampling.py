from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import stats

from tradewind.bundle import (
    BoxSpace,
    BundleDraft,
    BundleMetadata,
    Distribution,
    GoldenSet,
)
from tradewind.errors import InvalidInputError
from tradewind.policy.sampling import _GAMMA, ActionSampler, _categorical, _mix, uniforms

Metadata = Callable[..., BundleMetadata]

SEEDS = st.integers(0, 2**64 - 1)
DRAWS = 20_000
# A test that is right fails once in 10^6 runs; the seeds are fixed, so it does not flicker.
SIGNIFICANCE = 1e-6


@pytest.fixture
def metadata(discrete_draft: BundleDraft) -> Metadata:
    """Metadata of a policy with this distribution, and three choices unless a box is given."""

    def make(distribution: Distribution, space: BoxSpace | None = None) -> BundleMetadata:
        draft = replace(discrete_draft, distribution=distribution)
        if space is not None:
            golden = GoldenSet(
                observations=np.zeros((1, 3, 2), np.float32),
                actions=np.zeros((1, *space.shape), np.float32),
                distribution=np.zeros(
                    (1, space.size) if distribution.kind == "deterministic" else (1, 2, space.size),
                    np.float32,
                ),
            )
            draft = replace(draft, action_space=space, golden=golden)
        return draft.metadata("2026-11-22.1", datetime.now(UTC), draft.contents())

    return make


@pytest.mark.parametrize(
    ("state", "expected"),
    # The first outputs of the reference implementation (prng.di.unimi.it/splitmix64.c).
    [
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]),
        (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423]),
    ],
)
def test_mix_of_successive_states_is_splitmix64(state: int, expected: list[int]) -> None:
    states = np.array([state], np.uint64) + np.arange(1, 4, dtype=np.uint64) * _GAMMA
    assert _mix(states).tolist() == expected


@given(SEEDS, st.integers(1, 20), st.integers(1, 8))
@settings(max_examples=50)
def test_uniforms_with_any_seed_lie_inside_and_do_not_depend_on_their_number(
    seed: int, rows: int, draws: int
) -> None:
    drawn = uniforms(seed, rows, draws)
    assert ((drawn > 0.0) & (drawn < 1.0)).all()
    np.testing.assert_array_equal(drawn, uniforms(seed, rows + 3, draws + 2)[:rows, :draws])


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_uniforms_over_rows_and_over_seeds_are_uniform_and_uncorrelated(seed: int) -> None:
    over_rows = uniforms(seed, DRAWS, 2)
    over_seeds = np.array([uniforms((seed + i) % 2**64, 1, 2)[0] for i in range(2_000)])
    for drawn in (over_rows, over_seeds):
        for column in drawn.T:
            assert stats.kstest(column, "uniform").pvalue > SIGNIFICANCE
            assert stats.pearsonr(column[:-1], column[1:]).pvalue > SIGNIFICANCE
        assert stats.pearsonr(drawn[:, 0], drawn[:, 1]).pvalue > SIGNIFICANCE


def test_categorical_draws_with_logits_have_the_softmax_frequencies(
    metadata: Metadata,
) -> None:
    sampler = ActionSampler(metadata(Distribution(kind="categorical_logits")))
    logits = np.array([0.3, -1.2, 1.7], np.float32)
    actions = sampler.sample(np.tile(logits, (DRAWS, 1)), seed=11)
    expected = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum() * DRAWS
    counts = np.bincount(actions, minlength=3)
    assert stats.chisquare(counts, expected).pvalue > SIGNIFICANCE


@given(SEEDS, st.integers(0, 2))
@settings(max_examples=50)
def test_categorical_draw_with_impossible_actions_never_takes_them(seed: int, only: int) -> None:
    logits = np.full((4, 3), -1e9)
    logits[:, only] = 1e9
    assert _categorical(logits, seed).tolist() == [only] * 4


def test_epsilon_greedy_explores_at_the_recorded_rate(
    metadata: Metadata,
) -> None:
    sampler = ActionSampler(metadata(Distribution(kind="q_values", exploration_rate=0.3)))
    actions = sampler.sample(np.tile(np.array([0, 5, 1], np.float32), (DRAWS, 1)), seed=12)
    expected = np.array([0.1, 0.8, 0.1]) * DRAWS
    assert stats.chisquare(np.bincount(actions, minlength=3), expected).pvalue > SIGNIFICANCE


@pytest.mark.parametrize(("rate", "expected"), [(0.0, {1}), (1.0, {0, 1, 2})])
def test_epsilon_greedy_at_its_ends_is_greedy_or_uniform(
    metadata: Metadata, rate: float, expected: set[int]
) -> None:
    sampler = ActionSampler(metadata(Distribution(kind="q_values", exploration_rate=rate)))
    actions = sampler.sample(np.tile(np.array([0, 5, 1], np.float32), (100, 1)), seed=1)
    assert set(actions.tolist()) == expected


def test_diagonal_gaussian_draws_are_normal_and_clipped(
    metadata: Metadata,
) -> None:
    space = BoxSpace(shape=(2,), low=(None, 0.0), high=(None, 0.5))
    sampler = ActionSampler(metadata(Distribution(kind="diag_gaussian"), space))
    parameters = np.array([[0.5, 0.0], [-1.0, 0.3]], np.float32)
    actions = sampler.sample(np.tile(parameters, (DRAWS, 1, 1)), seed=13)
    assert actions.dtype == np.float32
    free = stats.kstest(actions[:, 0], "norm", args=(0.5, np.exp(-1.0)))
    assert free.pvalue > SIGNIFICANCE
    assert actions[:, 1].min() == 0.0
    assert actions[:, 1].max() == 0.5
    assert (actions[:, 1] == 0.0).mean() == pytest.approx(0.5, abs=0.02)


def test_squashed_gaussian_draws_are_normal_once_unsquashed(
    metadata: Metadata,
) -> None:
    space = BoxSpace(shape=(1, 2), low=(-2.0, 0.0), high=(2.0, 10.0))
    sampler = ActionSampler(metadata(Distribution(kind="squashed_gaussian"), space))
    parameters = np.array([[0.2, -0.4], [-0.5, -1.0]], np.float32)
    actions = sampler.sample(np.tile(parameters, (DRAWS, 1, 1)), seed=14)
    assert actions.shape == (DRAWS, 1, 2)
    unit = (actions[:, 0] - np.array([0.0, 5.0])) / np.array([2.0, 5.0])
    for column, (mean, log_std) in zip(np.arctanh(unit.astype(float)).T, parameters.T, strict=True):
        result = stats.kstest(column, "norm", args=(mean, np.exp(log_std)))
        assert result.pvalue > SIGNIFICANCE


FINITE = st.floats(-50.0, 50.0, width=32)


@given(
    seed=SEEDS,
    parameters=hnp.arrays(np.float32, (3, 2, 2), elements=FINITE),
    bounds=st.tuples(st.floats(-100.0, 0.0, width=32), st.floats(0.0, 100.0, width=32)),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_squashed_gaussian_draw_with_any_parameters_lies_inside_and_repeats(
    metadata: Metadata, seed: int, parameters: NDArray[np.float32], bounds: tuple[float, float]
) -> None:
    space = BoxSpace(shape=(2,), low=bounds[0], high=bounds[1])
    sampler = ActionSampler(metadata(Distribution(kind="squashed_gaussian"), space))
    actions = sampler.sample(parameters, seed)
    assert ((actions >= bounds[0]) & (actions <= bounds[1])).all()
    np.testing.assert_array_equal(actions, sampler.sample(parameters, seed))
    np.testing.assert_array_equal(actions[:1], sampler.sample(parameters[:1], seed))


@given(mean=FINITE, low=st.floats(-10.0, -1.0, width=32), high=st.floats(1.0, 10.0, width=32))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_squashed_gaussian_draw_without_spread_is_the_action_that_the_library_takes(
    metadata: Metadata, mean: float, low: float, high: float
) -> None:
    space = BoxSpace(shape=(1,), low=low, high=high)
    sampler = ActionSampler(metadata(Distribution(kind="squashed_gaussian"), space))
    actions = sampler.sample(np.array([[[mean], [-50.0]]], np.float32), seed=1)
    expected = low + 0.5 * (np.tanh(mean) + 1.0) * (high - low)
    np.testing.assert_allclose(actions, [[expected]], rtol=0.0, atol=1e-5)


@given(seed=SEEDS, actions=hnp.arrays(np.float32, (4, 6), elements=FINITE))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_deterministic_draw_with_any_seed_is_the_action_itself(
    metadata: Metadata, seed: int, actions: NDArray[np.float32]
) -> None:
    sampler = ActionSampler(metadata(Distribution(kind="deterministic"), BoxSpace(shape=(2, 3))))
    drawn = sampler.sample(actions, seed)
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, actions.reshape(4, 2, 3))


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_out_of_range_is_refused(metadata: Metadata, seed: int) -> None:
    sampler = ActionSampler(metadata(Distribution(kind="categorical_logits")))
    with pytest.raises(InvalidInputError, match="not within 0 to 2\\^64"):
        sampler.sample(np.zeros((1, 3), np.float32), seed)
