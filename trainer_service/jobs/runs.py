"""The jobs that run in this service at the moment, and who waits for their changes."""

import threading
from collections.abc import Callable
from enum import StrEnum

from trainer_service.jobs.process import JobProcess

__all__ = ["Changes", "JobRun", "JobRuns", "StopReason"]


class Changes:
    """Tells threads that something about some job has changed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """How many changes there were; `wait` takes it."""
        return self._count

    def tell(self) -> None:
        """Tells a change to everybody who waits."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wake(self) -> None:
        """Makes everybody who waits ask again whether to stop."""
        with self._condition:
            self._condition.notify_all()

    def wait(self, seen: int, stopped: Callable[[], bool], timeout_s: float) -> int:
        """Waits until there were more changes than `seen`, or it is stopped, or time is up.

        Returns:
            How many changes there were.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen or stopped(), timeout_s)
            return self._count


class StopReason(StrEnum):
    """Why the service ends the process of a job."""

    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    SERVICE_STOPS = "SERVICE_STOPS"
    LEASE_LOST = "LEASE_LOST"


class JobRun:
    """One process that runs one job.

    Attributes:
        process: The process.
        stop_reason: Why the service ends it; None while it does not.
    """

    def __init__(self, process: JobProcess) -> None:
        self.process = process
        self.stop_reason: StopReason | None = None

    def stop(self, reason: StopReason) -> None:
        """Ends the process; the first reason counts."""
        self.stop_reason = self.stop_reason or reason
        if reason is StopReason.LEASE_LOST:
            # Another service may start the job any moment: two must not write one checkpoint.
            self.process.kill()
        else:
            self.process.terminate()


class JobRuns:
    """What runs here; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, JobRun] = {}

    def add(self, job_id: str, run: JobRun) -> None:
        """Takes note of a process that was started."""
        with self._lock:
            self._runs[job_id] = run

    def remove(self, job_id: str) -> None:
        """Forgets a process that has ended."""
        with self._lock:
            del self._runs[job_id]

    def job_ids(self) -> frozenset[str]:
        """The jobs that run here."""
        with self._lock:
            return frozenset(self._runs)

    def stop(self, job_id: str, reason: StopReason) -> None:
        """Ends the process of a job, if it runs here."""
        with self._lock:
            if job_id in self._runs:
                self._runs[job_id].stop(reason)

    def stop_all(self, reason: StopReason) -> None:
        """Ends every process."""
        with self._lock:
            for run in self._runs.values():
                run.stop(reason)
