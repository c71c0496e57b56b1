"""Queues jobs, runs them by device, keeps the leases on them and tells who watches."""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from tradewind.errors import ConflictError, JobNotFoundError, StorageError, UnavailableError
from tradewind.jobs import JobState, TrainingJob
from trainer_service.checkpoints import CheckpointStore
from trainer_service.jobs.runner import JobRunner, RunnerSettings
from trainer_service.jobs.runs import Changes, JobRuns, StopReason
from trainer_service.jobs.slots import Slot
from trainer_service.jobs.store import JobStore

__all__ = ["JobQueue"]

_LOG = logging.getLogger(__name__)

_STOPPING = "the trainer service is stopping"
# A job that another service runs changes without a word to this one.
_WATCH_POLL_S = 1.0
# Of a lease: how often it is renewed, and when its jobs are ended because that did not succeed.
_RENEW_AFTER = 1.0 / 3.0
_LOST_AFTER = 0.8


class JobQueue:
    """Takes jobs from the store, oldest first, and runs each in a child process.

    Used as a context manager: jobs run inside the block. Leaving it ends the processes that run
    and puts their jobs back into the queue: the next service goes on from their checkpoints, as it
    does for the jobs of a service that died, once their leases have run out.

    Args:
        store: Where the jobs are.
        slots: Where they run, one at a time in each.
        settings: How they are run.
        queued_jobs: Jobs that may wait at once; None for any number.
        on_start: Called with every job that starts, or starts again, on the thread that runs it.
        on_end: Called with every job that ends after it ran here, and the seconds that it ran, on
            the thread that ran it.
    """

    def __init__(
        self,
        store: JobStore,
        slots: Sequence[Slot],
        settings: RunnerSettings,
        *,
        queued_jobs: int | None = None,
        on_start: Callable[[TrainingJob], None],
        on_end: Callable[[TrainingJob, float], None],
    ) -> None:
        self._store = store
        self._queued_jobs = queued_jobs
        self._checkpoints = settings.checkpoints.folder
        self._changes = Changes()
        self._runs = JobRuns()
        self._closing = threading.Event()
        self._closed = threading.Event()
        self._runners = [
            JobRunner(
                slot, store, settings, self._runs, self._changes, on_start=on_start, on_end=on_end
            )
            for slot in slots
        ]
        self._keeper = threading.Thread(target=self._keep_leases, name="job-leases", daemon=True)

    def __enter__(self) -> Self:
        self._remove_old_checkpoints()
        self._keeper.start()
        for runner in self._runners:
            runner.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        for runner in self._runners:
            runner.close()
        self._runs.stop_all(StopReason.SERVICE_STOPS)
        for runner in self._runners:
            runner.join()
        self._closed.set()
        self._keeper.join()
        self._changes.tell()

    def add(
        self, policy: str, config_json: str, request_id: str, traceparent: str = ""
    ) -> TrainingJob:
        """Queues a job, or gives the one that the same request made before.

        Args:
            policy: Name of the policy to publish.
            config_json: The accepted configuration.
            request_id: Makes the call repeatable; empty for a job of its own.
            traceparent: The span that the job's belongs to; empty for none.

        Raises:
            ConflictError: The same request id was used for another policy or configuration.
            OverloadedError: As many jobs wait as may.
            UnavailableError: The service is stopping.
        """
        if self._closing.is_set():
            raise UnavailableError(_STOPPING)
        job = self._store.add(
            TrainingJob(
                job_id=uuid.uuid4().hex,
                policy=policy,
                config_json=config_json,
                device=json.loads(config_json)["training_params"]["device"],
                created_at=time.time(),
                request_id=request_id,
                traceparent=traceparent,
            ),
            self._queued_jobs,
        )
        about = {"fields": {"job": job.job_id}}
        _LOG.info("job %s: %s, for policy %s", job.job_id, job.state, job.policy, extra=about)
        self._changes.tell()
        return job

    def cancel(self, job_id: str, stopped: Callable[[], bool]) -> TrainingJob:
        """Cancels a job, wherever it runs, and waits until it has ended.

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
        if self._store.request_cancel(job_id):
            CheckpointStore(self._checkpoints / job_id).remove()
        else:
            self._runs.stop(job_id, StopReason.CANCELLED)
        self._changes.tell()
        return [job, *self.watch(job_id, stopped)][-1]

    def watch(self, job_id: str, stopped: Callable[[], bool]) -> Iterator[TrainingJob]:
        """Gives a job now, then again at every change, until it has ended.

        A slow reader misses changes, never the latest state.

        Args:
            job_id: The job.
            stopped: Says that nobody reads any more; asked again after every `wake`.

        Raises:
            JobNotFoundError: No job has that id.
            UnavailableError: The service stops, and the job goes on after its next start.
        """
        last: TrainingJob | None = None
        seen = -1
        while not stopped():
            closed = self._closed.is_set()
            job = self._store.get(job_id)
            if job != last:
                yield job
                last = job
            if job.ended:
                return
            if closed:
                raise UnavailableError(_STOPPING)
            seen = self._changes.wait(seen, stopped, _WATCH_POLL_S)

    def wake(self) -> None:
        """Makes every `watch` ask again whether it is stopped."""
        self._changes.wake()

    def _keep_leases(self) -> None:
        lease_s = self._store.lease_s
        guard = self._guard(lease_s)
        while not self._closed.wait(lease_s * _RENEW_AFTER):
            # Before the renewal, which then covers every one of them that was not taken away.
            running = self._runs.job_ids()
            try:
                mine = self._store.renew()
            except StorageError:
                _LOG.exception("the leases on the jobs cannot be renewed")
                continue
            guard.cancel()
            guard = self._guard(lease_s)
            for job_id in running - mine.keys():
                _LOG.error("job %s was taken by another service", job_id)
                self._runs.stop(job_id, StopReason.LEASE_LOST)
            for job_id in running & mine.keys():
                if mine[job_id]:
                    self._runs.stop(job_id, StopReason.CANCELLED)
        guard.cancel()

    def _guard(self, lease_s: float) -> threading.Timer:
        """Ends what runs here, unless it is cancelled, before another service may start it."""
        guard = threading.Timer(lease_s * _LOST_AFTER, self._runs.stop_all, [StopReason.LEASE_LOST])
        guard.daemon = True
        guard.start()
        return guard

    def _remove_old_checkpoints(self) -> None:
        """Removes what a service that died left behind of jobs that have ended."""
        if not self._checkpoints.is_dir():
            return
        for folder in self._checkpoints.iterdir():
            try:
                ended = self._store.get(folder.name).ended
            except JobNotFoundError:
                continue  # another job store may share the folder
            if ended:
                CheckpointStore(folder).remove()
