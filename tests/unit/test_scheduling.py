"""How the threads of a process take turns: in a process of its own, for it cannot be taken back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from tradewind.scheduling import core_awake, take_turns


def test_take_turns_is_inherited_by_threads_and_child_processes() -> None:
    script = """
import os, subprocess, sys, threading
from tradewind.scheduling import take_turns
print(os.sched_getscheduler(0) == os.SCHED_OTHER)
take_turns()
thread = threading.Thread(target=lambda: print(os.sched_getscheduler(0) == os.SCHED_BATCH))
thread.start()
thread.join()
ask = "import os; print(os.sched_getscheduler(0) == os.SCHED_BATCH)"
subprocess.run([sys.executable, "-c", ask], check=True)
"""
    found = subprocess.run(
        [sys.executable, "-u", "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["True", "True", "True"]


def test_take_turns_where_a_sandbox_forbids_it_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    take_turns()
    assert "may interrupt a call under way: Operation not permitted" in caplog.text


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
from tradewind.scheduling import core_awake
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
