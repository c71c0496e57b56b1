"""Runs jobs one after the other, each in a process of its own, and tells who watches."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from tradewind.errors import ConflictError, StorageError, UnavailableError
from trainer_service.jobs.job import JobState, TrainingJob
from trainer_service.jobs.messages import JobFailed, JobProgress, JobSucceeded
from trainer_service.jobs.process import JobProcess
from trainer_service.jobs.store import JobStore
from trainer_service.progress import TrainingProgress

__all__ = ["JobQueue"]

_LOG = logging.getLogger(__name__)

_STORE_RETRY_S = 1.0
_STOPPING = "the trainer service is stopping"
_SERVICE_DIED = "the trainer service ended while the job ran; start the training again"
_SERVICE_STOPPED = "the trainer service was stopped while the job ran; start the training again"


class JobQueue:
    """Takes jobs from the store, oldest first, and runs each in a child process.

    Used as a context manager: jobs run inside the block. Entering it fails the jobs that an
    earlier service left RUNNING; queued ones are kept and run. Leaving it ends the jobs that run.

    Args:
        store: Where the jobs are.
        concurrency: Jobs that run at once.
        grace_s: Seconds that a job gets to end after SIGTERM, before SIGKILL.
        on_end: Called with every job that ends after it ran, on the thread that ran it.
    """

    def __init__(
        self,
        store: JobStore,
        *,
        concurrency: int = 1,
        grace_s: float = 5.0,
        on_end: Callable[[TrainingJob], None],
    ) -> None:
        self._store = store
        self._on_end = on_end
        self._grace_s = grace_s
        # Guards the counter and the two collections after it, and tells every change of a job.
        self._changed = threading.Condition()
        self._change_count = 0
        self._processes: dict[str, JobProcess] = {}
        self._cancelled: set[str] = set()
        self._closing = False
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run_jobs, name=f"job-runner-{index}")
            for index in range(concurrency)
        ]

    def __enter__(self) -> Self:
        failed = self._store.fail_running(_SERVICE_DIED)
        if failed:
            _LOG.warning("%d job(s) were running when the service last ended: FAILED", failed)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._closing = True
            for process in self._processes.values():
                process.terminate()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._closed = True
        self._tell()

    def add(self, policy: str, config_json: str, request_id: str | None) -> TrainingJob:
        """Queues a job, or gives the one that the same request made before.

        Args:
            policy: Name of the policy to publish.
            config_json: The accepted configuration.
            request_id: Makes the call repeatable; None for a job of its own.

        Raises:
            ConflictError: The same request id was used for another policy or configuration.
            UnavailableError: The service is stopping.
        """
        if self._closing:
            raise UnavailableError(_STOPPING)
        job = self._store.add(
            TrainingJob(
                job_id=uuid.uuid4().hex,
                policy=policy,
                config_json=config_json,
                created_at=time.time(),
                request_id=request_id,
            )
        )
        self._tell()
        return job

    def cancel(self, job_id: str, stopped: Callable[[], bool]) -> TrainingJob:
        """Cancels a job and waits until it has ended.

        A job that publishes its bundle at the same moment may still end as SUCCEEDED.

        Args:
            job_id: The job.
            stopped: Says that nobody waits any more; asked again after every `wake`.

        Returns:
            The job; cancelling a cancelled job again gives it back.

        Raises:
            JobNotFoundError: No job has that id.
            ConflictError: The job has ended in another way.
        """
        job = self._store.get(job_id)
        if job.state is JobState.CANCELLED:
            return job
        if job.ended:
            raise ConflictError(
                f"training job {job_id} has ended: {job.state}", metadata={"job_id": job_id}
            )
        if not self._store.cancel_queued(job_id):
            with self._changed:
                self._cancelled.add(job_id)
                if job_id in self._processes:
                    self._processes[job_id].terminate()
        self._tell()
        return [job, *self.watch(job_id, stopped)][-1]

    def watch(self, job_id: str, stopped: Callable[[], bool]) -> Iterator[TrainingJob]:
        """Gives a job now, then again at every change, until it has ended.

        A slow reader misses changes, never the latest state.

        Args:
            job_id: The job.
            stopped: Says that nobody reads any more; asked again after every `wake`.

        Raises:
            JobNotFoundError: No job has that id.
            UnavailableError: The service stops, and the job waits for its next start.
        """
        last: TrainingJob | None = None
        seen = -1
        while not stopped():
            seen = self._wait_for_change(seen, stopped)
            job = self._store.get(job_id)
            if job != last:
                yield job
                last = job
            if job.ended:
                return
            if self._closed:
                raise UnavailableError(_STOPPING)

    def wake(self) -> None:
        """Makes every `watch` ask again whether it is stopped."""
        with self._changed:
            self._changed.notify_all()

    def _wait_for_change(self, seen: int, stopped: Callable[[], bool]) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._change_count != seen or stopped())
            return self._change_count

    def _tell(self) -> None:
        with self._changed:
            self._change_count += 1
            self._changed.notify_all()

    def _run_jobs(self) -> None:
        while not self._closing:
            with self._changed:
                seen = self._change_count
            try:
                job = self._store.claim_next()
                if job is not None:
                    self._run(job)
                    continue
            except StorageError:
                _LOG.exception("the next job must wait")
            self._wait_for_change(seen, lambda: self._closing)

    def _run(self, job: TrainingJob) -> None:
        _LOG.info("job %s: training of %s begins", job.job_id, job.policy)
        self._tell()
        try:
            outcome = self._train(job)
        except Exception as problem:
            # Whatever went wrong concerns this job alone: the next one must still run.
            _LOG.exception("job %s could not be followed", job.job_id)
            outcome = JobFailed(
                stopped_by_risk=False, error=f"the training could not be followed: {problem}"
            )
        self._end(job.job_id, outcome)
        with self._changed:
            self._cancelled.discard(job.job_id)
        self._tell()
        ended = self._store.get(job.job_id)
        _LOG.info("job %s: %s %s", job.job_id, ended.state, ended.error or ended.bundle_version)
        self._on_end(ended)

    def _train(self, job: TrainingJob) -> JobSucceeded | JobFailed | None:
        """Gives how the training ended; None when it was cancelled."""
        process = JobProcess(job.job_id, job.config_json, self._grace_s)
        with self._changed:
            self._processes[job.job_id] = process
            if self._closing or job.job_id in self._cancelled:
                process.terminate()
        outcome: JobSucceeded | JobFailed | None = None
        for event in process.events():
            if isinstance(event, JobProgress):
                self._report(job.job_id, event.progress)
            else:
                outcome = event
        how_it_ended = process.wait()
        with self._changed:
            del self._processes[job.job_id]
            cancelled = job.job_id in self._cancelled
        if outcome is not None or cancelled:
            return outcome
        error = _SERVICE_STOPPED if self._closing else how_it_ended
        return JobFailed(stopped_by_risk=False, error=error)

    def _report(self, job_id: str, progress: TrainingProgress) -> None:
        try:
            self._store.report(job_id, progress)
        except StorageError:
            _LOG.exception("job %s: a progress report is lost", job_id)
        self._tell()

    def _end(self, job_id: str, outcome: JobSucceeded | JobFailed | None) -> None:
        """Stores the end; tries again while the store fails, because nobody else knows it."""
        state, values = _ending(outcome)
        while True:
            try:
                self._store.end(job_id, state, **values)
                return
            except StorageError:
                _LOG.exception("job %s: its end (%s) cannot be stored yet", job_id, state)
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, timeout=_STORE_RETRY_S):
                    return


def _ending(outcome: JobSucceeded | JobFailed | None) -> tuple[JobState, dict[str, str]]:
    if outcome is None:
        return JobState.CANCELLED, {}
    if isinstance(outcome, JobSucceeded):
        return JobState.SUCCEEDED, outcome.model_dump(exclude={"kind"})
    state = JobState.STOPPED_BY_RISK if outcome.stopped_by_risk else JobState.FAILED
    return state, {"error": outcome.error}
