"""How the threads of a service share the cores with each other and with other services."""

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

__all__ = ["core_awake", "pin_to_core"]

_LOG = logging.getLogger(__name__)

# Ends with the process that it is for, however that ends; an interrupt is for that one, too.
_SPIN: Final = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
while os.getppid() == int(sys.argv[1]):
    for _ in range(100_000):
        pass
"""


def pin_to_core(index: int) -> None:
    """Keeps this process on one of the cores it may use, counted round."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[index % len(cores)]})


@contextlib.contextmanager
def core_awake(*, wanted: bool) -> Iterator[None]:
    """Keeps the core of a pinned process from falling asleep, inside the block.

    A core with nothing to do is halted, and a virtual one given to others: what runs first
    afterwards takes several times as long. So a process of the lowest scheduling class spins on
    it, which every other thread interrupts at once. It takes what the core has left, counts
    against a limit of the processor time, and threads of other control groups share with it.

    Args:
        wanted: Nothing is done without.

    Source: sched(7), "SCHED_IDLE".
    """
    if not wanted:
        yield
        return
    spinner = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _SPIN, str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        try:
            os.sched_setscheduler(spinner.pid, os.SCHED_IDLE, os.sched_param(0))
        except PermissionError as problem:
            spinner.kill()
            _LOG.warning("the core may fall asleep between calls: %s", problem)
        yield
    finally:
        spinner.kill()
        spinner.wait()
