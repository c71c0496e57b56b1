"""The core of a pinned process is kept from falling asleep, and no longer than it is wanted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

from tradewind.process.scheduling import core_awake


def test_core_awake_spins_in_the_lowest_class_for_the_time_of_the_block() -> None:
    before = set(psutil.Process().children())  # of fixtures
    with core_awake(wanted=False):
        assert set(psutil.Process().children()) == before
    with core_awake(wanted=True):
        (spinner,) = set(psutil.Process().children()) - before
        assert os.sched_getscheduler(spinner.pid) == os.SCHED_IDLE
        assert os.sched_getaffinity(spinner.pid) == os.sched_getaffinity(0)
        until(lambda: spinner.cpu_times().user > 0.05)
    assert not spinner.is_running()


def test_core_awake_with_its_process_killed_ends_with_it() -> None:
    script = """
from tradewind.process.scheduling import core_awake
with core_awake(wanted=True):
    print("awake", flush=True)
    input()
"""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "awake\n"
        (spinner,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGKILL)
    until(lambda: not spinner.is_running())


def until(condition: Callable[[], bool]) -> None:
    """Waits for it."""
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
