"""Multipliers: what a step costs, and how they follow a violation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainer_service.callbacks.multipliers import (
    ConstraintOutcome,
    LagrangianConfig,
    Multipliers,
    foreseeable_updates,
)

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
    multipliers = make(count=3, episodes=4)
    multipliers.costs(metric(0.1, 0.2, 0.3), np.array([False, True, False]))
    assert multipliers.update_count == 0
    multipliers.costs(metric(0.4, 0.0, 0.3), np.array([True, False, False]))
    assert multipliers.update_count == 1
    assert multipliers.means == pytest.approx([3.0])
    # Whenever one ends, from the mean of the latest four.
    for value, mean in ((0.6, 4.0), (0.8, 5.0), (1.0, 7.0), (0.0, 6.0)):
        multipliers.costs(metric(0.0, 0.0, value), np.array([False, False, True]))
        assert multipliers.means == pytest.approx([mean])
    assert multipliers.update_count == 5
    # Those of one step count alike, though they are more than four.
    multipliers = make(count=6, episodes=4)
    multipliers.costs(metric(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), np.ones(6, dtype=bool))
    assert multipliers.update_count == 1
    assert multipliers.means == pytest.approx([3.5])


def test_multipliers_with_random_exploration_ignore_episodes_that_are_mostly_chance() -> None:
    multipliers = make(count=2, episodes=1)
    for step in range(1, 5):
        ended = np.array([step == 4, False])
        multipliers.costs(metric(0.9, 0.9), ended, explores=step <= 3)
    assert multipliers.update_count == 0  # three of its four steps were random
    for step in range(5, 7):
        ended = np.array([False, step == 6])
        multipliers.costs(metric(0.2, 0.2), ended)
    assert multipliers.update_count == 1  # three of six were, and half is its own
    assert multipliers.means == pytest.approx([2.0])


@given(
    count=st.integers(1, 9),
    length=st.integers(2, 12),
    steps=st.integers(1, 80),
    own_from=st.integers(0, 60),
    episodes=st.integers(1, 7),
    stagger=st.booleans(),
)
def test_foreseeable_updates_are_those_that_happen(
    count: int, length: int, steps: int, own_from: int, episodes: int, stagger: bool
) -> None:
    firsts = -(-length * (count - np.arange(count) * stagger) // count)
    multipliers = make(count=count, episodes=episodes)
    left = firsts.copy()
    for step in range(1, steps + 1):
        left -= 1
        multipliers.costs(metric(*[0.05] * count), left == 0, explores=step <= own_from)
        left[left == 0] = length
    config = LagrangianConfig(constraints={"max_drawdown": 0.1}, episodes=episodes)
    found = foreseeable_updates(config, firsts, length, steps, own_from)
    assert found == multipliers.update_count


def test_outcome_says_what_is_broken_and_what_could_hardly_adapt() -> None:
    kept = ConstraintOutcome({"max_drawdown": 1.0, "var_95": 0.2}, 50, 16)
    assert kept.satisfied
    assert kept.remarks() == []
    assert kept.figures() == {
        "constraint_satisfied": 1.0,
        "constraint_updates": 50.0,
        "constraint_max_drawdown": 1.0,
        "constraint_var_95": 0.2,
    }
    broken = ConstraintOutcome({"max_drawdown": 1.42, "var_95": None}, 3, 16)
    assert broken.figures()["constraint_satisfied"] == 0.0
    assert "constraint_var_95" not in broken.figures()
    said = " / ".join(broken.remarks())
    assert "max_drawdown is broken at the end of the training: 1.42 times its limit" in said
    assert "var_95 was never judged" in said
    assert "updated 3 times only, fewer than 50" in said


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
