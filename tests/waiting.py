"""Waiting in tests: for a condition, never for a time."""

import time
from collections.abc import Callable

PATIENCE_S = 60.0


def wait_until(
    condition: Callable[[], bool],
    what: str = "the condition",
    patience_s: float = PATIENCE_S,
    pause_s: float = 0.02,
) -> None:
    """Asks again and again until a condition holds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {patience_s} s"
        time.sleep(pause_s)
