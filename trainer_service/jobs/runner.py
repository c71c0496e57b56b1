"""Runs the jobs of one slot, one after the other, each in a process of its own."""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tradewind.errors import StorageError
from tradewind.jobs import JobState, TrainingJob
from tradewind.logs import log_context
from tradewind.settings import Settings
from tradewind.tracing import TracingSettings
from trainer_service.checkpoints import CheckpointSettings, CheckpointStore
from trainer_service.jobs.messages import (
    JobCheckpointed,
    JobFailed,
    JobNoted,
    JobOrder,
    JobProgress,
    JobSucceeded,
    WorkerEvent,
)
from trainer_service.jobs.process import JobProcess
from trainer_service.jobs.runs import Changes, JobRun, JobRuns, StopReason
from trainer_service.jobs.slots import Slot
from trainer_service.jobs.store import JobStore

__all__ = ["JobRunner", "RunnerSettings"]

_LOG = logging.getLogger(__name__)

_STORE_RETRY_S = 1.0
# A job that another service queued, and one whose lease ran out, are found by looking.
_POLL_S = 1.0
_SERVICE_STOPPED = "the trainer service was stopped while the job ran"
_LEASE_LOST = "the trainer service could not renew its lease on the job"


class RunnerSettings(Settings):
    """How jobs are run."""

    checkpoints: CheckpointSettings
    """Where trainings are saved, a folder for each job, and how often."""

    grace_s: float
    """Seconds that a job gets to end after SIGTERM, before SIGKILL."""

    max_attempts: int
    """Starts without a new checkpoint after which a job has failed."""

    tracing: TracingSettings | None = None
    """Where spans go; None for no spans."""

    components: tuple[str, ...] = ()
    """Code of one's own that a job may have imported."""


@dataclass(frozen=True)
class _Cancelled:
    """Somebody cancelled the job."""


@dataclass(frozen=True)
class _Interrupted:
    """The job goes on later, from its latest checkpoint."""

    note: str
    counts_as_attempt: bool


_Ending: TypeAlias = JobSucceeded | JobFailed | _Cancelled | _Interrupted


class JobRunner:
    """Takes the jobs of one slot from the store, oldest first.

    Args:
        slot: What it runs on.
        store: Where the jobs are.
        settings: How they are run.
        runs: Shows what runs here.
        changes: Told every change of a job.
        on_start: Called with every job that starts, or starts again.
        on_end: Called with every job that ends after it ran here, and the seconds that it ran: in
            all attempts, without the time between them.
    """

    def __init__(
        self,
        slot: Slot,
        store: JobStore,
        settings: RunnerSettings,
        runs: JobRuns,
        changes: Changes,
        *,
        on_start: Callable[[TrainingJob], None],
        on_end: Callable[[TrainingJob, float], None],
    ) -> None:
        self._slot = slot
        self._store = store
        self._settings = settings
        self._runs = runs
        self._changes = changes
        self._on_start = on_start
        self._on_end = on_end
        self._closing = False
        self._thread = threading.Thread(target=self._run_jobs, name=f"job-runner-{slot.name}")

    def start(self) -> None:
        """Begins to take jobs."""
        self._thread.start()

    def close(self) -> None:
        """Takes no more jobs, and ends the one that runs so that it can go on later."""
        self._closing = True
        self._changes.wake()

    def join(self) -> None:
        """Waits until the last job is settled."""
        self._thread.join()

    def _run_jobs(self) -> None:
        while not self._closing:
            seen = self._changes.count
            try:
                job = self._store.claim(self._slot.takes)
                if job is not None:
                    with log_context(job=job.job_id, policy=job.policy, request_id=job.request_id):
                        self._run(job)
                    continue
            except StorageError:
                _LOG.exception("the next job must wait")
            self._changes.wait(seen, lambda: self._closing, _POLL_S)

    def _run(self, job: TrainingJob) -> None:
        self._changes.tell()
        self._on_start(job)
        started = time.monotonic()
        try:
            ending = self._train(job)
        except Exception as problem:
            # Whatever went wrong concerns this job alone: the next one must still run.
            _LOG.exception("job %s could not be followed", job.job_id)
            ending = JobFailed(error=f"the training could not be followed: {problem}")
        ran_s = job.progress.elapsed_s + time.monotonic() - started
        mine = self._settle(job, ending)
        self._changes.tell()
        after = self._store.get(job.job_id)
        _LOG.info("job %s: %s %s", job.job_id, after.state, after.error or after.bundle_version)
        if mine and after.ended:
            self._on_end(after, ran_s)

    def _train(self, job: TrainingJob) -> _Ending:
        if job.cancel_requested:
            return _Cancelled()
        if job.attempts > self._settings.max_attempts:
            return JobFailed(
                error=f"given up after {job.attempts - 1} attempts without a new checkpoint; "
                f"the last one: {job.notes[-1]}"
            )
        config = json.loads(job.config_json)
        timeout_s = config.get("resources", {}).get("timeout_s")
        timed_out = JobFailed(error=f"the training ran longer than its timeout_s of {timeout_s} s")
        elapsed_s = job.progress.elapsed_s
        if timeout_s is not None and elapsed_s >= timeout_s:
            return timed_out
        order = JobOrder(
            config=config,
            checkpoints=self._checkpoints(job),
            elapsed_s=elapsed_s,
            job_id=job.job_id,
            request_id=job.request_id,
            traceparent=job.traceparent,
            tracing=self._settings.tracing,
            components=self._settings.components,
        )
        _LOG.info("job %s: attempt %d on %s", job.job_id, job.attempts, self._slot.name)
        run = JobRun(JobProcess(job.job_id, order, self._settings.grace_s, self._slot.environment))
        with _timeout(None if timeout_s is None else timeout_s - elapsed_s, run):
            return self._follow(job, run, timed_out)

    def _follow(self, job: TrainingJob, run: JobRun, timed_out: JobFailed) -> _Ending:
        outcome: JobSucceeded | JobFailed | None = None
        self._runs.add(job.job_id, run)
        try:
            if self._closing:
                run.stop(StopReason.SERVICE_STOPS)
            # Whoever cancels stores that first and looks for the process afterwards.
            if self._cancel_requested(job.job_id):
                run.stop(StopReason.CANCELLED)
            for event in run.process.events():
                if isinstance(event, JobSucceeded | JobFailed):
                    outcome = event
                else:
                    self._take_note(job.job_id, event)
        except BaseException:
            run.process.kill()
            raise
        finally:
            end = run.process.wait()
            self._runs.remove(job.job_id)
        if outcome is not None:
            return outcome
        match run.stop_reason:
            case StopReason.CANCELLED:
                return _Cancelled()
            case StopReason.TIMED_OUT:
                return timed_out
            case StopReason.SERVICE_STOPS:
                return _Interrupted(_SERVICE_STOPPED, counts_as_attempt=False)
            case StopReason.LEASE_LOST:
                return _Interrupted(_LEASE_LOST, counts_as_attempt=False)
        if end.killed:  # the same would only take the memory of the other jobs again
            return JobFailed(error=str(end))
        return _Interrupted(str(end), counts_as_attempt=True)

    def _cancel_requested(self, job_id: str) -> bool:
        try:
            return self._store.get(job_id).cancel_requested
        except StorageError:
            _LOG.exception("job %s: a cancellation is seen when its lease is renewed", job_id)
            return False

    def _take_note(self, job_id: str, event: WorkerEvent) -> None:
        try:
            if isinstance(event, JobCheckpointed):
                self._store.checkpointed(job_id, event.timesteps)
            elif isinstance(event, JobNoted):
                self._store.note(job_id, event.text)
            elif isinstance(event, JobProgress):
                self._store.report(job_id, event.progress)
        except StorageError:
            _LOG.exception("job %s: a report is lost", job_id)
        self._changes.tell()

    def _settle(self, job: TrainingJob, ending: _Ending) -> bool:
        """Stores what came of the process; tries again while the store fails.

        Nobody else knows it. A service that stops before it is stored leaves the job RUNNING, and
        the next one resumes it.

        Returns:
            Whether it is stored: another service may have taken the job meanwhile.
        """
        while True:
            try:
                return self._store_ending(job, ending)
            except StorageError:
                _LOG.exception("job %s: its end cannot be stored yet", job.job_id)
            self._changes.wait(self._changes.count, lambda: self._closing, _STORE_RETRY_S)
            if self._closing:
                return False

    def _store_ending(self, job: TrainingJob, ending: _Ending) -> bool:
        if isinstance(ending, _Interrupted):
            return self._store.requeue(
                job.job_id, ending.note, counts_as_attempt=ending.counts_as_attempt
            )
        state, values = _ended(ending)
        stored = self._store.end(job.job_id, state, **values)
        if stored:
            CheckpointStore(self._checkpoints(job).folder).remove()
        else:
            _LOG.warning("job %s has gone to another service: %s is not stored", job.job_id, state)
        return stored

    def _checkpoints(self, job: TrainingJob) -> CheckpointSettings:
        settings = self._settings.checkpoints
        return settings.model_copy(update={"folder": settings.folder / job.job_id})


@contextlib.contextmanager
def _timeout(seconds: float | None, run: JobRun) -> Iterator[None]:
    """Ends the process when the block takes longer."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, run.stop, [StopReason.TIMED_OUT])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _ended(ending: JobSucceeded | JobFailed | _Cancelled) -> tuple[JobState, dict[str, str]]:
    if isinstance(ending, _Cancelled):
        return JobState.CANCELLED, {}
    if isinstance(ending, JobSucceeded):
        return JobState.SUCCEEDED, ending.model_dump(exclude={"kind"})
    state = JobState.STOPPED_BY_RISK if ending.stopped_by_risk else JobState.FAILED
    return state, {"error": ending.error}
