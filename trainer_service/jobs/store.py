"""Jobs in a database: they survive the service."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection

from tradewind.errors import (
    ConflictError,
    FieldViolation,
    InvalidInputError,
    JobNotFoundError,
    SettingsError,
    StorageError,
)
from trainer_service.jobs.job import ENDED_STATES, JobState, TrainingJob
from trainer_service.progress import TrainingPhase, TrainingProgress

__all__ = ["JobStore"]

_METADATA = sa.MetaData()
_JOBS = sa.Table(
    "training_jobs",
    _METADATA,
    # Also the order in which jobs run and, backwards, in which they are listed.
    sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.String(64), unique=True, nullable=False),
    sa.Column("request_id", sa.String(256), unique=True),
    sa.Column("policy", sa.String(63), nullable=False),
    sa.Column("config_json", sa.Text, nullable=False),
    sa.Column("state", sa.String(32), nullable=False, index=True),
    sa.Column("phase", sa.String(32), nullable=False),
    sa.Column("timesteps_done", sa.BigInteger, nullable=False),
    sa.Column("timesteps_total", sa.BigInteger, nullable=False),
    sa.Column("steps_per_second", sa.Double, nullable=False),
    sa.Column("elapsed_s", sa.Double, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("bundle_version", sa.String(32), nullable=False),
    sa.Column("bundle_sha256", sa.String(64), nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double, nullable=False),
    sqlite_autoincrement=True,
)
_MAX_INTEGER = 2**63 - 1


class JobStore:
    """Training jobs in SQLite or another database that SQLAlchemy speaks to.

    Every state is written before it is told to anybody, and a job that has ended never changes.
    One service owns a database; its threads may share the store.

    Args:
        url: SQLAlchemy URL, e.g. `sqlite:///runs/jobs.sqlite`.

    Raises:
        SettingsError: The URL is not one.
        StorageError: The database cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self._engine = _create_engine(url)
        with self._transaction() as connection:
            _METADATA.create_all(connection)

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def add(self, job: TrainingJob) -> TrainingJob:
        """Stores a new job, or gives the one that the same request made before.

        Raises:
            ConflictError: The same request id was used for another policy or configuration.
        """
        values = {
            "job_id": job.job_id,
            "request_id": job.request_id,
            "policy": job.policy,
            "config_json": job.config_json,
            "state": job.state,
            "bundle_version": job.bundle_version,
            "bundle_sha256": job.bundle_sha256,
            "error": job.error,
            "created_at": job.created_at,
            "started_at": job.started_at,
            "ended_at": job.ended_at,
            **_progress_values(job.progress),
        }
        try:
            with self._transaction() as connection:
                connection.execute(sa.insert(_JOBS).values(values))
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
        job = self._select_one(_JOBS.c.job_id == job_id)
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
            sa.select(_JOBS)
            .where(_JOBS.c.serial < before)
            .order_by(_JOBS.c.serial.desc())
            .limit(page_size + 1)
        )
        with self._transaction() as connection:
            rows = connection.execute(query).mappings().all()
        page = rows[:page_size]
        next_token = str(page[-1]["serial"]) if len(rows) > page_size else ""
        return [_job_from_row(row) for row in page], next_token

    def count_by_state(self) -> dict[JobState, int]:
        """How many jobs are in each state; every state is there."""
        query = sa.select(_JOBS.c.state, sa.func.count()).group_by(_JOBS.c.state)
        with self._transaction() as connection:
            counted = {JobState(state): count for state, count in connection.execute(query)}
        return {state: counted.get(state, 0) for state in JobState}

    def running(self) -> list[TrainingJob]:
        """Jobs that run."""
        query = sa.select(_JOBS).where(_JOBS.c.state == JobState.RUNNING)
        with self._transaction() as connection:
            return [_job_from_row(row) for row in connection.execute(query).mappings()]

    def claim_next(self) -> TrainingJob | None:
        """Makes the oldest queued job RUNNING; None when there is none."""
        oldest = (
            sa.select(sa.func.min(_JOBS.c.serial))
            .where(_JOBS.c.state == JobState.QUEUED)
            .scalar_subquery()
        )
        claim = (
            sa.update(_JOBS)
            .where(_JOBS.c.serial == oldest, _JOBS.c.state == JobState.QUEUED)
            .values(state=JobState.RUNNING, started_at=time.time())
            .returning(_JOBS)
        )
        with self._transaction() as connection:
            row = connection.execute(claim).mappings().one_or_none()
        return None if row is None else _job_from_row(row)

    def report(self, job_id: str, progress: TrainingProgress) -> None:
        """Stores the progress of a running job."""
        update = (
            sa.update(_JOBS)
            .where(_JOBS.c.job_id == job_id, _JOBS.c.state == JobState.RUNNING)
            .values(_progress_values(progress))
        )
        with self._transaction() as connection:
            connection.execute(update)

    def cancel_queued(self, job_id: str) -> bool:
        """Makes a job CANCELLED if it is still QUEUED; says whether it was."""
        return self._end(_JOBS.c.job_id == job_id, JobState.QUEUED, state=JobState.CANCELLED) > 0

    def end(
        self,
        job_id: str,
        state: JobState,
        *,
        error: str = "",
        bundle_version: str = "",
        bundle_sha256: str = "",
    ) -> None:
        """Ends a running job."""
        assert state in ENDED_STATES
        self._end(
            _JOBS.c.job_id == job_id,
            JobState.RUNNING,
            state=state,
            error=error,
            bundle_version=bundle_version,
            bundle_sha256=bundle_sha256,
        )

    def fail_running(self, error: str) -> int:
        """Ends every job that is RUNNING as FAILED, and says how many there were."""
        return self._end(sa.true(), JobState.RUNNING, state=JobState.FAILED, error=error)

    def _end(self, which: sa.ColumnElement[bool], from_state: JobState, **values: str) -> int:
        update = (
            sa.update(_JOBS)
            .where(which, _JOBS.c.state == from_state)
            .values(ended_at=time.time(), **values)
        )
        with self._transaction() as connection:
            return connection.execute(update).rowcount

    def _earlier(self, job: TrainingJob) -> TrainingJob:
        earlier = self._select_one(_JOBS.c.request_id == job.request_id)
        if earlier is None:
            raise StorageError(f"training job {job.job_id} exists already")
        if (earlier.policy, earlier.config_json) != (job.policy, job.config_json):
            raise ConflictError(
                f"request_id {job.request_id!r} was used for another training, "
                f"which is job {earlier.job_id}",
                metadata={"job_id": earlier.job_id},
            )
        return earlier

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as problem:
            # Not the whole text: it quotes the statement, and this message reaches callers.
            cause = problem.orig if isinstance(problem, sa.exc.DBAPIError) else problem
            raise StorageError(f"the job store failed: {cause}") from problem

    def _select_one(self, which: sa.ColumnElement[bool]) -> TrainingJob | None:
        with self._transaction() as connection:
            row = connection.execute(sa.select(_JOBS).where(which)).mappings().one_or_none()
        return None if row is None else _job_from_row(row)


def _create_engine(url: str) -> sa.Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise sa.exc.ArgumentError("jobs must survive the service: name a file")
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(parsed)
    except (sa.exc.ArgumentError, ImportError, OSError) as problem:
        raise SettingsError(
            "job store is refused", [FieldViolation("jobs", f"not a usable URL: {problem}")]
        ) from None
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    """Readers do not block the writer, and two writers wait for each other."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _progress_values(progress: TrainingProgress) -> dict[str, Any]:
    return {
        "phase": progress.phase,
        "timesteps_done": progress.timesteps_done,
        "timesteps_total": progress.timesteps_total,
        "steps_per_second": progress.steps_per_second,
        "elapsed_s": progress.elapsed_s,
        "metrics": progress.metrics,
    }


def _job_from_row(row: sa.RowMapping) -> TrainingJob:
    return TrainingJob(
        job_id=row["job_id"],
        policy=row["policy"],
        config_json=row["config_json"],
        state=JobState(row["state"]),
        progress=TrainingProgress(
            phase=TrainingPhase(row["phase"]),
            timesteps_done=row["timesteps_done"],
            timesteps_total=row["timesteps_total"],
            steps_per_second=row["steps_per_second"],
            elapsed_s=row["elapsed_s"],
            metrics=row["metrics"],
        ),
        bundle_version=row["bundle_version"],
        bundle_sha256=row["bundle_sha256"],
        error=row["error"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        request_id=row["request_id"],
    )


def _parse_page_token(token: str) -> int:
    if not token:
        return _MAX_INTEGER
    if not token.isascii() or not token.isdigit() or len(token) > 18:
        violation = FieldViolation("page_token", f"{token!r} was not given by a page before")
        raise InvalidInputError("list request is refused", [violation])
    return int(token)
