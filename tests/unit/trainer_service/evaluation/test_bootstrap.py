"""Block bootstrap, against other implementations and against what it must cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainer_service.evaluation.bootstrap import automatic_block_length, resample_sums


def autoregressive(coefficient: float, count: int, seed: int) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).standard_normal(count)
    series = np.empty(count)
    series[0] = noise[0]
    for index in range(1, count):
        series[index] = coefficient * series[index - 1] + noise[index]
    return series


# arch 8.0.0: optimal_block_length(autoregressive(coefficient, count, 1))["circular"]
@pytest.mark.parametrize(
    ("coefficient", "count", "expected"),
    [
        (-0.5, 200, 21.720947739774275),
        (-0.5, 2000, 15.269099797936079),
        (0.0, 200, 8.677223247294371),
        (0.3, 200, 2.604401930603759),
        (0.3, 2000, 10.27472147133557),
        (0.9, 200, 11.309151963239964),
        (0.9, 2000, 61.038775285087816),
    ],
)
def test_automatic_block_length_with_autoregressive_series_equals_arch(
    coefficient: float, count: int, expected: float
) -> None:
    series = autoregressive(coefficient, count, seed=1)

    assert automatic_block_length(series) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("series", [np.zeros(100), np.full(100, 0.1), np.arange(9.0)])
def test_automatic_block_length_with_nothing_to_estimate_is_one(
    series: NDArray[np.float64],
) -> None:
    assert automatic_block_length(series) == 1.0


@given(
    count=st.integers(1, 40),
    block=st.integers(1, 50),
    seed=st.integers(0, 2**31),
)
def test_resample_sums_with_any_block_equals_sums_over_drawn_bars(
    count: int, block: int, seed: int
) -> None:
    series = np.random.default_rng(seed).standard_normal((count, 2))

    sums = resample_sums(series, block, 7, np.random.default_rng(seed))

    generator = np.random.default_rng(seed)
    length = min(block, count)
    starts = generator.integers(count, size=(7, count // length))
    last = generator.integers(count, size=7)
    for row in range(7):
        drawn = [(start + offset) % count for start in starts[row] for offset in range(length)]
        drawn += [(last[row] + offset) % count for offset in range(count % length)]
        assert len(drawn) == count
        np.testing.assert_allclose(sums[row], series[drawn].sum(axis=0), atol=1e-9)


def test_resample_sums_with_dependent_series_spreads_as_the_mean_does() -> None:
    count, coefficient = 4_000, 0.6
    series = autoregressive(coefficient, count, seed=3)
    generator = np.random.default_rng(0)

    blocks = resample_sums(series[:, None], 40, 4_000, generator) / count
    single = resample_sums(series[:, None], 1, 4_000, generator) / count

    # Var(mean) of an AR(1) is σ² / (n (1 − φ)²); bars drawn one by one miss the dependence.
    expected = 1.0 / (np.sqrt(count) * (1.0 - coefficient))
    assert blocks.std() == pytest.approx(expected, rel=0.1)
    assert single.std() < 0.6 * expected
