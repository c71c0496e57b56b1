"""The chance of a false alarm stays at alpha however often one looks, and a real edge is found."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from orchestrator.analysis.comparison import confidence_sequence

FloatArray = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], FloatArray]

ALPHA = 0.05
BARS = 3_000
RUNS = 400
# Of so many runs at a true rate of alpha, more than this happens once in a thousand times.
MOST = 0.05 + 3.1 * (0.05 * 0.95 / RUNS) ** 0.5


def clustered(generator: np.random.Generator, count: int) -> FloatArray:
    """GARCH(1, 1) with fat tails, as returns are."""
    shocks = generator.standard_t(4, count) / np.sqrt(2.0)
    values, variance = np.empty(count), 1.0
    for at in range(count):
        values[at] = np.sqrt(variance) * shocks[at]
        variance = 0.02 + 0.1 * values[at] ** 2 + 0.88 * variance
    return values


DRAWS: dict[str, Draw] = {
    "normal": lambda generator, count: generator.normal(size=count),
    "fat tails": lambda generator, count: generator.standard_t(3, count),
    "skewed": lambda generator, count: generator.exponential(size=count) - 1.0,
    "mostly equal": lambda generator, count: (
        generator.normal(size=count) * (generator.random(count) < 0.05)
    ),
    "clustered": clustered,
}


def decide(values: FloatArray, **changes: int) -> int | None:
    arguments = {"first": 200, "best_at": 1_000, **changes}
    return confidence_sequence(values, alpha=ALPHA, **arguments).decided_at


@pytest.mark.parametrize("kind", DRAWS)
def test_confidence_sequence_with_equal_means_is_wrong_at_any_bar_no_more_often_than_alpha(
    kind: str,
) -> None:
    generator = np.random.default_rng(1)

    alarms = sum(decide(DRAWS[kind](generator, BARS)) is not None for _ in range(RUNS))

    assert alarms / RUNS <= MOST


def test_ordinary_test_with_a_look_after_every_bar_is_wrong_far_more_often() -> None:
    generator = np.random.default_rng(1)
    alarms = 0
    for _ in range(RUNS):
        values = generator.normal(size=BARS)
        counts = np.arange(1, BARS + 1)
        scores = np.cumsum(values) / np.sqrt(counts)
        alarms += bool((np.abs(scores[199:]) > 1.96).any())

    assert alarms / RUNS > 3.0 * MOST


@pytest.mark.parametrize("edge", [-0.15, 0.15])
def test_confidence_sequence_with_an_edge_finds_it_and_its_side(edge: float) -> None:
    generator = np.random.default_rng(2)
    found = [
        confidence_sequence(
            generator.normal(edge, 1.0, BARS), alpha=ALPHA, first=200, best_at=1_000
        )
        for _ in range(50)
    ]

    assert all(one.sign == np.sign(edge) for one in found)
    assert np.mean([one.lows[-1] < edge < one.highs[-1] for one in found]) >= 0.9


series = hnp.arrays(
    np.float64,
    st.integers(60, 300),
    elements=st.floats(-1.0, 1.0).map(lambda value: round(value, 6)),
)


@given(values=series, factor=st.sampled_from([1e-4, 3.0, 1e3]))
def test_confidence_sequence_in_other_units_says_the_same(
    values: FloatArray, factor: float
) -> None:
    arguments = {"first": 50, "best_at": 200}
    one = confidence_sequence(values, alpha=ALPHA, **arguments)
    other = confidence_sequence(factor * values, alpha=ALPHA, **arguments)

    np.testing.assert_allclose(other.lows, factor * one.lows, rtol=1e-6, atol=1e-9 * factor)
    np.testing.assert_allclose(other.p_values, one.p_values, rtol=1e-4, atol=1e-12)


@given(values=series, later=series)
def test_confidence_sequence_with_more_bars_changes_nothing_it_said_before(
    values: FloatArray, later: FloatArray
) -> None:
    before = confidence_sequence(values, alpha=ALPHA, first=50, best_at=200)
    after = confidence_sequence(np.concatenate([values, later]), alpha=ALPHA, first=50, best_at=200)

    kept = len(before.means)
    for name in ("means", "lows", "highs", "p_values"):
        np.testing.assert_array_equal(getattr(after, name)[:kept], getattr(before, name))
    if before.decided_at is not None:
        assert after.decided_at == before.decided_at


@given(values=series)
def test_p_value_falls_to_alpha_when_zero_leaves_the_interval(values: FloatArray) -> None:
    found = confidence_sequence(values, alpha=ALPHA, first=50, best_at=200)

    if found.decided_at is None:
        assert found.p_values[-1] >= ALPHA * (1.0 - 1e-9)
    else:
        at = found.decided_at - found.first
        assert found.p_values[at] <= ALPHA * (1.0 + 1e-9)


def test_confidence_sequence_of_equal_series_never_decides() -> None:
    found = confidence_sequence(np.zeros(500), alpha=ALPHA, first=50, best_at=200)

    assert found.decided_at is None
    assert found.p_values[-1] == 1.0


@pytest.mark.parametrize(
    ("values", "changes", "says"),
    [
        ([0.0, np.nan, 1.0], {}, "finite"),
        ([0.0, 1.0], {"alpha": 0.7}, "alpha must be"),
        ([0.0, 1.0], {"first": 1}, "first must be"),
    ],
)
def test_confidence_sequence_with_bad_arguments_is_refused(
    values: list[float], changes: dict[str, float], says: str
) -> None:
    arguments = {"alpha": ALPHA, "first": 2, "best_at": 10, **changes}
    with pytest.raises(ValueError, match=says):
        confidence_sequence(np.array(values), **arguments)  # type: ignore[arg-type]
