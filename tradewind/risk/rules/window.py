"""What a rule with a window remembers between evaluations."""

import math
from dataclasses import dataclass

from tradewind.risk.rules.settings import WindowSettings
from tradewind.risk.rules.truth import Truth

__all__ = ["WindowState", "observe"]


@dataclass(frozen=True, slots=True)
class WindowState:
    """The latest evaluations in which a rule's condition held; at most `at_least` of each kind.

    Where an evaluation stands is its number (1 is the first) in a window of evaluations, and its
    time in a window of seconds; None there means that the caller did not say the time.

    Attributes:
        evaluation_count: Evaluations so far.
        certain: Where the condition held.
        possible: Where it held or might have.
    """

    evaluation_count: int = 0
    certain: tuple[float, ...] = ()
    possible: tuple[float | None, ...] = ()


def observe(
    window: WindowSettings, state: WindowState, truth: Truth, now: float | None
) -> tuple[Truth, WindowState]:
    """Counts one more evaluation.

    An evaluation whose time is unknown, or later than `now`, counts as inside the window: a
    clock that is missing or runs backwards never empties it.

    Args:
        window: The rule's window.
        state: What it remembers of the evaluations before.
        truth: Whether its condition holds now: FALSE, UNKNOWN or TRUE.
        now: The caller's clock; None when it is missing.

    Returns:
        Whether the rule holds, and what to remember.
    """
    count = state.evaluation_count + 1
    position: float | None
    if window.seconds is None:
        assert window.evaluations is not None
        position, extent = count, float(window.evaluations)
    else:
        position, extent = now, window.seconds
    certain, possible = state.certain, state.possible
    if truth is Truth.TRUE and position is not None:
        certain = (*certain, position)[-window.at_least :]
    if truth.triggers:
        possible = (*possible, position)[-window.at_least :]
    start = -math.inf if position is None else position - extent
    inside = sum(mark is None or mark > start for mark in possible)
    certainly_inside = 0 if position is None else sum(mark > start for mark in certain)
    if certainly_inside >= window.at_least:
        held = Truth.TRUE
    elif inside >= window.at_least:
        held = Truth.UNKNOWN
    else:
        held = Truth.FALSE
    return held, WindowState(count, certain, possible)
