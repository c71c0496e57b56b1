"""Jobs in a database: they survive the service, and several services may share them."""

import os
import socket
import time
import uuid
from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa

from tradewind.errors import (
    ConflictError,
    FieldViolation,
    InvalidInputError,
    JobNotFoundError,
    OverloadedError,
    StorageError,
)
from tradewind.jobs import ENDED_STATES, JobState, TrainingJob, TrainingProgress
from tradewind.storage import SqlStore
from trainer_service.jobs.rows import job_from_row, job_values, progress_values
from trainer_service.jobs.schema import JOBS, SCHEMA

__all__ = ["JobStore"]

_MAX_INTEGER: Final = 2**63 - 1
_NOTES_KEPT: Final = 20
_RETRY_QUEUE_S: Final = 60.0
_SERVICE_ENDED: Final = "the trainer service that ran the job ended without a word"
_UNTAKEN: Final = {"owner": "", "lease_until": 0.0}


class JobStore:
    """Training jobs in SQLite or PostgreSQL.

    Every state is written before it is told to anybody, and a job that has ended never changes.
    A store claims jobs for a time, its lease, and must renew it: what a service that died was
    running becomes free for another one when the lease has run out. Threads may share a store.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`.
        lease_s: Seconds that a claim lasts without renewal.

    Attributes:
        lease_s: Seconds that a claim lasts without renewal.

    Raises:
        SettingsError: The URL is not one.
        StorageError: The database cannot be opened or migrated, or a newer release migrated it.
    """

    def __init__(self, url: str, *, lease_s: float = 30.0) -> None:
        self.lease_s = lease_s
        self._owner = f"{socket.gethostname()[:64]}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._database = _opened(url)

    def close(self) -> None:
        """Closes every connection."""
        self._database.close()

    def add(self, job: TrainingJob, queued_jobs: int | None = None) -> TrainingJob:
        """Stores a new job, or gives the one that the same request made before.

        Args:
            job: The job.
            queued_jobs: Jobs that may wait at once, this one included; None for any number.

        Raises:
            OverloadedError: As many jobs wait as may.
            ConflictError: The same request id was used for another policy or configuration.
        """
        try:
            with self._database.transaction() as connection:
                connection.execute(sa.insert(JOBS).values(job_values(job)))
                if queued_jobs is not None:
                    _check_length(connection, queued_jobs)
        except StorageError as problem:
            if isinstance(problem.__cause__, sa.exc.IntegrityError):
                return self._earlier(job)
            raise
        return job

    def get(self, job_id: str) -> TrainingJob:
        """One job.

        Raises:
            JobNotFoundError: No job has that id.
        """
        job = self._select_one(JOBS.c.job_id == job_id)
        if job is None:
            raise JobNotFoundError(f"no training job {job_id!r}", metadata={"job_id": job_id})
        return job

    def list_page(self, page_size: int, page_token: str) -> tuple[list[TrainingJob], str]:
        """A page of jobs, newest first.

        Args:
            page_size: Largest number of jobs.
            page_token: What the page before gave; empty for the first page.

        Returns:
            The jobs, and the token of the next page; empty after the last one.

        Raises:
            InvalidInputError: The token is not one of ours.
        """
        before = _parse_page_token(page_token)
        query = (
            sa.select(JOBS)
            .where(JOBS.c.serial < before)
            .order_by(JOBS.c.serial.desc())
            .limit(page_size + 1)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(query).mappings().all()
        page = rows[:page_size]
        next_token = str(page[-1]["serial"]) if len(rows) > page_size else ""
        return [job_from_row(row) for row in page], next_token

    def count_by_state(self) -> dict[JobState, int]:
        """How many jobs are in each state; every state is there."""
        query = sa.select(JOBS.c.state, sa.func.count()).group_by(JOBS.c.state)
        with self._database.transaction() as connection:
            counted = {JobState(state): count for state, count in connection.execute(query)}
        return {state: counted.get(state, 0) for state in JobState}

    def queue_length(self) -> dict[str, int]:
        """How many jobs wait, by the device they asked for."""
        query = (
            sa.select(JOBS.c.device, sa.func.count())
            .where(JOBS.c.state == JobState.QUEUED)
            .group_by(JOBS.c.device)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return {row.device: row[1] for row in rows}

    def running(self) -> list[TrainingJob]:
        """Jobs that run, in this service or in another one."""
        query = sa.select(JOBS).where(JOBS.c.state == JobState.RUNNING)
        with self._database.transaction() as connection:
            return [job_from_row(row) for row in connection.execute(query).mappings()]

    def claim(self, devices: Collection[str]) -> TrainingJob | None:
        """Makes the oldest job that is free RUNNING, here; None when there is none.

        A job is free while it is queued, and again when the lease of a service that ran it has
        run out. No two services get the same one.

        Args:
            devices: Only jobs that asked for one of these.
        """
        now = self._database.now()
        free = sa.or_(
            JOBS.c.state == JobState.QUEUED,
            sa.and_(JOBS.c.state == JobState.RUNNING, JOBS.c.lease_until < now),
        )
        oldest = (
            sa.select(JOBS)
            .where(JOBS.c.device.in_(devices), free)
            .order_by(JOBS.c.serial)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._database.transaction() as connection:
            row = connection.execute(oldest).mappings().one_or_none()
            if row is None:
                return None
            abandoned = row["state"] == JobState.RUNNING
            started_before = row["started_at"] > 0.0
            claim = (
                sa.update(JOBS)
                .where(JOBS.c.serial == row["serial"])
                .values(
                    state=JobState.RUNNING,
                    owner=self._owner,
                    lease_until=now + self.lease_s,
                    started_at=row["started_at"] if started_before else time.time(),
                    attempts=row["attempts"] + 1,
                    resumes=row["resumes"] + int(started_before),
                    notes=_noted(row["notes"], _SERVICE_ENDED) if abandoned else row["notes"],
                )
                .returning(JOBS)
            )
            return job_from_row(connection.execute(claim).mappings().one())

    def renew(self) -> dict[str, bool]:
        """Renews the lease of every job that runs here.

        Returns:
            Those jobs, and whether somebody asked to cancel them. A job that is missing was taken
            by another service.
        """
        renew = (
            sa.update(JOBS)
            .where(JOBS.c.owner == self._owner, JOBS.c.state == JobState.RUNNING)
            .values(lease_until=self._database.now() + self.lease_s)
            .returning(JOBS.c.job_id, JOBS.c.cancel_requested)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(renew).all()
        return {row.job_id: row.cancel_requested for row in rows}

    def report(self, job_id: str, progress: TrainingProgress) -> None:
        """Stores the progress of a job that runs here."""
        self._update_mine(job_id, **progress_values(progress))

    def checkpointed(self, job_id: str, timesteps: int) -> None:
        """Stores that a checkpoint was written; what is tried from here on starts from it."""
        self._update_mine(job_id, checkpoint_timesteps=timesteps, attempts=1)

    def note(self, job_id: str, text: str) -> None:
        """Adds to the notes of a job that runs here."""
        self._note_and_update(job_id, text)

    def requeue(self, job_id: str, note: str, *, counts_as_attempt: bool) -> bool:
        """Puts a job that runs here back where it stood in the queue.

        Args:
            job_id: The job.
            note: Why it was interrupted.
            counts_as_attempt: Whether its end was its own doing.

        Returns:
            Whether it still ran here.
        """
        used = JOBS.c.attempts if counts_as_attempt else JOBS.c.attempts - 1
        return self._note_and_update(job_id, note, state=JobState.QUEUED, attempts=used, **_UNTAKEN)

    def request_cancel(self, job_id: str) -> bool:
        """Makes a job CANCELLED if it waits; if it runs, tells whoever runs it to cancel it.

        Returns:
            Whether it is CANCELLED now.
        """
        waits = JOBS.c.state == JobState.QUEUED
        update = (
            sa.update(JOBS)
            .where(JOBS.c.job_id == job_id, JOBS.c.state.in_((JobState.QUEUED, JobState.RUNNING)))
            .values(
                cancel_requested=True,
                state=sa.case((waits, JobState.CANCELLED), else_=JOBS.c.state),
                ended_at=sa.case((waits, time.time()), else_=JOBS.c.ended_at),
            )
            .returning(JOBS.c.state)
        )
        with self._database.transaction() as connection:
            return connection.execute(update).scalar_one_or_none() == JobState.CANCELLED

    def end(
        self,
        job_id: str,
        state: JobState,
        *,
        error: str = "",
        bundle_version: str = "",
        bundle_sha256: str = "",
    ) -> bool:
        """Ends a job that runs here; says whether it still did."""
        assert state in ENDED_STATES
        return self._update_mine(
            job_id,
            state=state,
            error=error,
            bundle_version=bundle_version,
            bundle_sha256=bundle_sha256,
            ended_at=time.time(),
            **_UNTAKEN,
        )

    def _is_mine(self, job_id: str) -> sa.ColumnElement[bool]:
        return sa.and_(
            JOBS.c.job_id == job_id,
            JOBS.c.owner == self._owner,
            JOBS.c.state == JobState.RUNNING,
        )

    def _update_mine(self, job_id: str, **values: Any) -> bool:
        update = sa.update(JOBS).where(self._is_mine(job_id)).values(values)
        with self._database.transaction() as connection:
            return connection.execute(update).rowcount > 0

    def _note_and_update(self, job_id: str, note: str, **values: Any) -> bool:
        """Adds a note and changes columns of a job that runs here, both or neither."""
        with self._database.transaction() as connection:
            notes = sa.select(JOBS.c.notes).where(self._is_mine(job_id)).with_for_update()
            present = connection.execute(notes).scalar_one_or_none()
            if present is None:
                return False
            update = sa.update(JOBS).where(JOBS.c.job_id == job_id)
            connection.execute(update.values(notes=_noted(present, note), **values))
        return True

    def _earlier(self, job: TrainingJob) -> TrainingJob:
        earlier = self._select_one(JOBS.c.request_id == job.request_id)
        if earlier is None:
            raise StorageError(f"training job {job.job_id} exists already")
        if (earlier.policy, earlier.config_json) != (job.policy, job.config_json):
            raise ConflictError(
                f"request_id {job.request_id!r} was used for another training, "
                f"which is job {earlier.job_id}",
                metadata={"job_id": earlier.job_id},
            )
        return earlier

    def _select_one(self, which: sa.ColumnElement[bool]) -> TrainingJob | None:
        with self._database.transaction() as connection:
            row = connection.execute(sa.select(JOBS).where(which)).mappings().one_or_none()
        return None if row is None else job_from_row(row)


def _opened(url: str) -> SqlStore:
    database = SqlStore(url, SCHEMA)
    database.create_file()
    try:
        with database.transaction() as connection:
            database.migrate(connection)
    except StorageError:
        database.close()
        raise
    return database


def _noted(notes: list[str], text: str) -> list[str]:
    return [*notes, text][-_NOTES_KEPT:]


def _parse_page_token(token: str) -> int:
    if not token:
        return _MAX_INTEGER
    if not token.isascii() or not token.isdigit() or len(token) > 18:
        violation = FieldViolation("page_token", f"{token!r} was not given by a page before")
        raise InvalidInputError("list request is refused", [violation])
    return int(token)


def _check_length(connection: sa.Connection, most: int) -> None:
    waiting = sa.select(sa.func.count()).where(JOBS.c.state == JobState.QUEUED)
    if connection.execute(waiting.select_from(JOBS)).scalar_one() > most:
        raise OverloadedError(
            f"{most} training jobs wait already, as many as may (limits.queued_jobs): try again "
            "when one of them has started, or cancel one",
            reason="TOO_MANY_JOBS",
            retry_after_s=_RETRY_QUEUE_S,
        )
