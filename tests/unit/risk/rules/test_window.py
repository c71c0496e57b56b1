"""Windows, judged against counting the whole history."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.errors import SettingsError
from tradewind.risk.rules import WindowSettings, WindowState
from tradewind.risk.rules.truth import Truth
from tradewind.risk.rules.window import observe
from tradewind.settings import parse_settings

truths = st.sampled_from([Truth.FALSE, Truth.UNKNOWN, Truth.TRUE])


def feed(window: WindowSettings, history: Sequence[tuple[Truth, float | None]]) -> list[Truth]:
    state, answers = WindowState(), []
    for truth, now in history:
        answer, state = observe(window, state, truth, now)
        answers.append(answer)
        assert len(state.certain) <= window.at_least
        assert len(state.possible) <= window.at_least
    return answers


def judge(at_least: int, inside: list[Truth]) -> Truth:
    if sum(truth is Truth.TRUE for truth in inside) >= at_least:
        return Truth.TRUE
    return Truth.UNKNOWN if sum(truth.triggers for truth in inside) >= at_least else Truth.FALSE


@given(st.integers(1, 6), st.integers(0, 4), st.lists(truths, max_size=30))
def test_observe_in_a_window_of_evaluations_equals_counting_the_last_ones(
    at_least: int, spare: int, history: list[Truth]
) -> None:
    extent = at_least + spare
    window = WindowSettings(at_least=at_least, evaluations=extent)
    expected = [
        judge(at_least, history[max(0, end - extent) : end]) for end in range(1, len(history) + 1)
    ]
    assert feed(window, [(truth, None) for truth in history]) == expected


@given(
    st.integers(1, 4),
    st.integers(1, 20),
    st.lists(st.tuples(truths, st.integers(0, 8)), max_size=30),
)
def test_observe_in_a_window_of_seconds_equals_counting_the_trailing_ones(
    at_least: int, extent: int, steps: list[tuple[Truth, int]]
) -> None:
    window = WindowSettings(at_least=at_least, seconds=extent)
    now, history = 1.7e9, []
    for truth, step in steps:
        now += step
        history.append((truth, now))
    expected = [
        judge(
            at_least,
            [truth for truth, time in history[:end] if time > history[end - 1][1] - extent],
        )
        for end in range(1, len(history) + 1)
    ]
    assert feed(window, history) == expected


def test_observe_with_a_missing_time_counts_everything_but_is_certain_of_nothing() -> None:
    window = WindowSettings(at_least=2, seconds=10.0)
    assert feed(window, [(Truth.TRUE, 0.0), (Truth.TRUE, None)]) == [Truth.FALSE, Truth.UNKNOWN]
    assert feed(window, [(Truth.FALSE, None)] * 3) == [Truth.FALSE] * 3


def test_observe_with_a_clock_that_goes_back_does_not_empty_the_window() -> None:
    window = WindowSettings(at_least=2, seconds=10.0)
    assert feed(window, [(Truth.TRUE, 100.0), (Truth.TRUE, 50.0)])[-1] is Truth.TRUE


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"at_least": 3}, "exactly one"),
        ({"at_least": 3, "evaluations": 5, "seconds": 2.0}, "exactly one"),
        ({"at_least": 6, "evaluations": 5}, "never be reached"),
        ({"at_least": 0, "evaluations": 5}, "greater than or equal to 1"),
        ({"at_least": 1, "seconds": 0.0}, "greater than 0"),
        ({"at_least": 1, "seconds": math.inf}, "finite"),
    ],
)
def test_window_settings_with_a_wrong_extent_are_refused(
    values: dict[str, float], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings(values, WindowSettings)
