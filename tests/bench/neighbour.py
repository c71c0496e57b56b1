"""Somebody else's work on the cores that are measured."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

__all__ = ["busy_neighbour", "first_cores"]

_SPIN = "while True: pass"


def first_cores(count: int) -> list[int]:
    """The cores that a pinned service of so many processes keeps to, one a process."""
    cores = sorted(os.sched_getaffinity(0))
    return [cores[index % len(cores)] for index in range(count)]


@contextlib.contextmanager
def busy_neighbour(*, core: int | None = None) -> Iterator[None]:
    """Keeps a process of ordinary priority busy for the time of the block.

    Args:
        core: Where it stays; None: where the scheduler puts it.
    """
    command = [sys.executable, "-S", "-E", "-c", _SPIN]
    with subprocess.Popen(command) as process:
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            yield
        finally:
            process.kill()
