"""Multipliers: what a step costs, and how they follow a violation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainer_service.multipliers import LagrangianConfig, Multipliers

NOBODY = np.zeros(1, dtype=bool)
ENDED = np.ones(1, dtype=bool)
values = st.lists(st.one_of(st.just(np.nan), st.floats(0.0, 1.0)), min_size=1, max_size=30)


def make(count: int = 1, **changes: float | int) -> Multipliers:
    config = {"constraints": {"max_drawdown": 0.1}, "episodes": 1, **changes}
    return Multipliers(LagrangianConfig.model_validate(config), count)


def metric(*row: float) -> NDArray[np.float64]:
    return np.array(row)[:, None]


@given(values)
def test_costs_of_an_episode_add_up_to_what_it_ends_with(episode: list[float]) -> None:
    multipliers = make(episodes=1_000)
    multipliers.values = np.array([0.3])
    total = sum(float(multipliers.costs(metric(value), NOBODY)[0]) for value in episode)
    known = [value for value in episode if np.isfinite(value)]
    assert total == pytest.approx(0.3 * (known[-1] if known else 0.0) / 0.1, abs=1e-9)


def test_costs_after_an_episode_has_ended_begin_anew() -> None:
    multipliers = make(episodes=1_000)
    multipliers.values = np.array([1.0])
    assert multipliers.costs(metric(0.2), ENDED) == pytest.approx([2.0])
    assert multipliers.costs(metric(0.05), NOBODY) == pytest.approx([0.5])


def test_multiplier_with_a_broken_limit_rises_and_falls_once_it_is_kept() -> None:
    multipliers = make(integral=0.05, proportional=0.1)
    assert multipliers.costs(metric(0.3), ENDED) == [0.0]
    assert multipliers.means == pytest.approx([3.0])
    assert multipliers.values == pytest.approx([0.05 * 2.0 + 0.1 * 2.0])
    multipliers.costs(metric(0.2), ENDED)
    assert multipliers.values == pytest.approx([0.05 * 3.0 + 0.1])
    for _ in range(10):
        multipliers.costs(metric(0.02), ENDED)
    assert multipliers.values == [0.0]
    # It does not owe: the next violation counts at once.
    multipliers.costs(metric(0.2), ENDED)
    assert multipliers.values == pytest.approx([0.15])


def test_multiplier_with_a_metric_that_is_never_known_stays_and_says_so() -> None:
    multipliers = make()
    multipliers.costs(metric(np.nan), ENDED)
    assert np.isnan(multipliers.means).all()
    assert multipliers.values == [0.0]


def test_multipliers_with_several_environments_wait_for_their_episodes() -> None:
    multipliers = make(count=3, episodes=2)
    multipliers.costs(metric(0.1, 0.2, 0.3), np.array([False, True, False]))
    assert multipliers.update_count == 0
    multipliers.costs(metric(0.4, 0.0, 0.3), np.array([True, False, False]))
    assert multipliers.update_count == 1
    assert multipliers.means == pytest.approx([3.0])


def test_multipliers_with_a_restored_state_go_on_as_if_unbroken() -> None:
    unbroken, broken = make(count=2, episodes=3), make(count=2, episodes=3)
    random = np.random.default_rng(5)
    steps = [(random.random((2, 1)), random.random(2) < 0.3) for _ in range(40)]
    for metrics, dones in steps[:20]:
        unbroken.costs(metrics, dones)
        broken.costs(metrics, dones)
    state = broken.get_state()
    broken.costs(*steps[20])
    resumed = make(count=2, episodes=3)
    resumed.set_state(state)
    for metrics, dones in steps[20:]:
        np.testing.assert_array_equal(resumed.costs(metrics, dones), unbroken.costs(metrics, dones))
    np.testing.assert_array_equal(resumed.values, unbroken.values)
    assert unbroken.update_count > 2
