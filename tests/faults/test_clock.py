"""A clock that jumps, forth and back, while decisions are made and a job runs."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scenario import Scenario
from tests.faults.stack import Stack
from tradewind.jobs import JobState
from tradewind.rpc.clients import TrainerClient

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class Clock:
    """The clock of the processes that are started with its environment (libfaketime)."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set("+0")
        self.environment = {
            "LD_PRELOAD": str(LIBRARIES[-1]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            # Timeouts are not on the clock on the wall.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        """Moves the clock to this far from the true time, such as `-1h`."""
        written = self._file.with_suffix(".new")
        written.write_text(offset)
        written.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if not LIBRARIES:
        if os.environ.get("TRADEWIND_SKIP_FAKETIME") == "1":
            pytest.skip("libfaketime is not installed and TRADEWIND_SKIP_FAKETIME is 1")
        pytest.fail("libfaketime is not installed: apt-get install faketime")
    return Clock(tmp_path / "clock")


def test_clock_that_jumps_disturbs_no_decision_no_halt_and_no_job(
    clock: Clock,
    make_stack: Callable[..., Stack],
    begin: Callable[[Stack], Scenario],
    job_config: dict[str, Any],
) -> None:
    stack = make_stack(environment=clock.environment)
    stack.start_all()
    scenario = begin(stack)
    with TrainerClient(stack.addresses["trainer_service"], timeout_s=20.0) as trainer:
        job = trainer.start_training("steady", job_config)
        for offset in ("+1h", "-1h", "+400d", "-2d", "+0"):
            clock.set(offset)
            with scenario.recovery(f"the clock set {offset}"):
                pass
            time.sleep(0.5)  # some time at that hour
        *_, ended = trainer.watch(job.job_id)
    assert ended.state == JobState.SUCCEEDED, ended.error
    assert ended.attempts == 1
    assert stack.store.versions("steady") == (ended.bundle_version,)
    scenario.check()
