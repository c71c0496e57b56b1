"""How the threads of a process take turns: in a process of its own, for it cannot be taken back."""

import os
import subprocess
import sys

import pytest

from tradewind.scheduling import take_turns


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
