"""What is called a knee, and what a rising load is blamed for."""

import numpy as np

from tests.load.results import OK, Calls
from tests.load.steps_report import REFUSED, Step, find_knee, judge


def calls(latency_ms: float, answered: int, **others: int) -> Calls:
    outcomes = [OK] * answered + [code for code, count in others.items() for _ in range(count)]
    length = len(outcomes)
    return Calls(
        np.full(length, "Predict"),
        np.zeros(length),
        np.full(length, latency_ms),
        np.array(outcomes),
    )


def step(offered: int, answered: int, checked: Calls) -> Step:
    own = len(checked.with_outcome(OK))
    return Step(offered, 0.0, 1.0, offered, 0, answered + own, checked)


CALM = step(1_000, 1_000, calls(2.0, 50))
BUSY = step(4_000, 4_000, calls(4.0, 50))
OVERLOADED = step(9_000, 6_000, calls(90.0, 30, **{REFUSED: 20}))


def test_judge_with_load_shed_beyond_the_knee_and_latency_back_blames_nothing() -> None:
    steps = [CALM, BUSY, OVERLOADED, CALM]
    assert find_knee(steps) is BUSY
    assert OVERLOADED.refused == 3_000
    assert judge(steps) == []


def test_judge_with_time_outs_or_slow_recovery_or_no_overload_blames_each() -> None:
    timed_out = step(9_000, 6_000, calls(90.0, 30, DEADLINE_EXCEEDED=3, **{REFUSED: 20}))
    assert judge([CALM, timed_out, CALM]) == ["9,000 calls/s: 3 × DEADLINE_EXCEEDED"]
    (slow,) = judge([CALM, OVERLOADED, step(1_000, 1_000, calls(9.0, 50))])
    assert slow.startswith("the median of Predict is 9.00 ms after")
    (refused,) = judge([CALM, OVERLOADED, step(1_000, 999, calls(2.0, 50, **{REFUSED: 1}))])
    assert refused == "1 calls were refused after the load"
    (not_enough,) = judge([CALM, BUSY, CALM])
    assert not_enough.startswith("no call was refused")
    collapsed = step(9_000, 400, calls(90.0, 30, **{REFUSED: 20}))
    (lost,) = judge([CALM, BUSY, collapsed, CALM])
    assert lost.startswith("at 9,000 calls/s offered only 400/s")
