"""What services that share one job store rely on, on SQLite and on PostgreSQL."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tradewind.errors import ConflictError, StorageError
from tradewind.jobs import JobState, TrainingJob
from trainer_service.jobs import JobStore
from trainer_service.jobs.schema import METADATA

MakeStore = Callable[..., JobStore]

ANY = ("auto", "cpu")
# As the release before migrations created it.
FIRST_SCHEMA = """
CREATE TABLE training_jobs (
    serial INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    job_id VARCHAR(64) NOT NULL,
    request_id VARCHAR(256),
    policy VARCHAR(63) NOT NULL,
    config_json TEXT NOT NULL,
    state VARCHAR(32) NOT NULL,
    phase VARCHAR(32) NOT NULL,
    timesteps_done BIGINT NOT NULL,
    timesteps_total BIGINT NOT NULL,
    steps_per_second DOUBLE NOT NULL,
    elapsed_s DOUBLE NOT NULL,
    metrics JSON NOT NULL,
    bundle_version VARCHAR(32) NOT NULL,
    bundle_sha256 VARCHAR(64) NOT NULL,
    error TEXT NOT NULL,
    created_at DOUBLE NOT NULL,
    started_at DOUBLE NOT NULL,
    ended_at DOUBLE NOT NULL,
    UNIQUE (job_id),
    UNIQUE (request_id)
);
CREATE INDEX ix_training_jobs_state ON training_jobs (state);
"""
FIRST_ROW = (
    "INSERT INTO training_jobs VALUES (NULL, ?, NULL, 'btc', ?, ?, 'training', 7, 9, 1.5, 2.5, "
    """'{"risk/score": 0.5}', '', '', '', 1.0, 2.0, 0.0)"""
)


@pytest.fixture(params=["sqlite", "postgresql"])
def jobs_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.sqlite"
    url: str = request.getfixturevalue("postgres").create_database()
    return url


@pytest.fixture
def make_store(jobs_url: str) -> Iterator[MakeStore]:
    """Opens the store of one service more on the same database."""
    with ExitStack() as stack:

        def make(lease_s: float = 30.0) -> JobStore:
            store = JobStore(jobs_url, lease_s=lease_s)
            stack.callback(store.close)
            return store

        yield make


def make_job(name: str, **values: Any) -> TrainingJob:
    return TrainingJob(name, "btc", "{}", created_at=1.5, **values)


def test_claim_by_two_services_at_once_gives_each_job_once_and_the_oldest_first(
    make_store: MakeStore,
) -> None:
    services = [make_store(), make_store()]
    for number in range(12):
        services[0].add(make_job(f"j{number}"))

    first = services[1].claim(ANY)
    with ThreadPoolExecutor(8) as pool:
        claims = pool.map(lambda n: services[n % 2].claim(ANY), range(16))
        claimed = [job.job_id for job in claims if job]

    assert first is not None
    assert (first.job_id, first.state, first.attempts) == ("j0", JobState.RUNNING, 1)
    assert sorted(claimed) == sorted(f"j{n}" for n in range(1, 12))
    assert len(services[0].running()) == 12


def test_claim_takes_only_jobs_for_its_devices(make_store: MakeStore) -> None:
    store = make_store()
    for device in ("cuda", "auto", "cpu"):
        store.add(make_job(device, device=device))

    claimed = [store.claim(("cpu",)), store.claim(("cpu",)), store.claim(("cuda", "auto"))]

    assert [job and job.job_id for job in claimed] == ["cpu", None, "cuda"]
    assert store.queue_length() == {"auto": 1}


def test_job_of_a_service_that_died_is_free_when_its_lease_has_run_out(
    make_store: MakeStore,
) -> None:
    dead, living = make_store(lease_s=0.8), make_store()
    dead.add(make_job("a"))
    dead.claim(ANY)
    dead.checkpointed("a", 500)

    assert living.claim(ANY) is None
    job = None
    while job is None:  # until the lease has run out
        job = living.claim(ANY)

    assert (job.attempts, job.resumes, job.checkpoint_timesteps) == (2, 1, 500)
    assert job.notes == ("the trainer service that ran the job ended without a word",)
    assert dead.renew() == {}
    assert not dead.end("a", JobState.SUCCEEDED)
    assert living.get("a").state is JobState.RUNNING


def test_lease_that_is_renewed_keeps_its_job(make_store: MakeStore) -> None:
    brief, other = make_store(lease_s=0.5), make_store()
    brief.add(make_job("a"))
    brief.claim(ANY)
    first_end = time.monotonic() + brief.lease_s
    brief.lease_s = 60.0  # from here on, so that no pause of this process can outlast it

    assert brief.renew() == {"a": False}

    while time.monotonic() < first_end:
        assert other.claim(ANY) is None
        time.sleep(0.02)
    assert other.claim(ANY) is None
    assert brief.renew() == {"a": False}


def test_requeued_job_runs_before_younger_ones_and_counts_its_own_crashes_alone(
    make_store: MakeStore,
) -> None:
    store = make_store()
    for name in ("old", "young"):
        store.add(make_job(name))
    attempts = []
    for counts in (True, False, True):
        job = store.claim(ANY)
        assert job is not None
        assert job.job_id == "old"
        attempts.append(job.attempts)
        assert store.requeue("old", f"crash {len(attempts)}", counts_as_attempt=counts)

    assert attempts == [1, 2, 2]
    assert store.get("old").notes == ("crash 1", "crash 2", "crash 3")


def test_cancel_ends_a_queued_job_and_reaches_the_service_that_runs_one(
    make_store: MakeStore,
) -> None:
    runs, asks = make_store(), make_store()
    for name in ("running", "queued"):
        runs.add(make_job(name))
    runs.claim(ANY)

    assert not asks.request_cancel("running")
    assert asks.request_cancel("queued")

    assert runs.renew() == {"running": True}
    assert asks.get("queued").state is JobState.CANCELLED
    assert asks.get("queued").ended_at > 0.0


def test_add_by_two_services_with_one_request_id_makes_one_job(make_store: MakeStore) -> None:
    services = [make_store(), make_store()]

    def add(number: int) -> str:
        return services[number % 2].add(make_job(f"j{number}", request_id="r")).job_id

    with ThreadPoolExecutor(8) as pool:
        job_ids = set(pool.map(add, range(16)))

    assert len(job_ids) == 1
    with pytest.raises(ConflictError, match="used for another training"):
        services[0].add(TrainingJob("x", "eth", "{}", request_id="r"))


def test_stores_opened_at_once_on_an_empty_database_migrate_it_once(
    make_store: MakeStore, jobs_url: str
) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: make_store(), range(4)))

    stores[0].add(make_job("a"))
    assert stores[3].get("a").state is JobState.QUEUED
    engine = sa.create_engine(jobs_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        # The migrations and the table that the code works on say the same.
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_store_of_a_newer_release_is_refused(make_store: MakeStore, jobs_url: str) -> None:
    make_store()
    newer = "UPDATE alembic_version SET version_num = '9999'"
    if jobs_url.startswith("sqlite"):
        with sqlite3.connect(jobs_url.removeprefix("sqlite:///")) as file:
            file.execute(newer)
        file.close()
    else:
        with psycopg.connect(jobs_url, autocommit=True) as connection:
            connection.execute(newer)

    with pytest.raises(
        StorageError, match="the job store has revision 9999, which this release does not know"
    ):
        make_store()


def test_file_of_the_first_release_is_migrated_with_its_jobs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with sqlite3.connect(path) as file:
        file.executescript(FIRST_SCHEMA)
        config = json.dumps({"training_params": {"device": "cpu"}})
        for name, state in (("ended", "SUCCEEDED"), ("ran", "RUNNING"), ("waits", "QUEUED")):
            file.execute(FIRST_ROW, (name, config, state))
    file.close()

    for _ in range(2):  # the second start finds nothing to do
        store = JobStore(f"sqlite:///{path}")
        ended = store.get("ended")
        store.close()
    store = JobStore(f"sqlite:///{path}")
    claimed = [store.claim(("cpu",)), store.claim(("cpu",))]
    store.close()

    assert (ended.state, ended.progress.timesteps_done) == (JobState.SUCCEEDED, 7)
    assert ended.progress.metrics == {"risk/score": 0.5}
    assert [job and (job.job_id, job.resumes) for job in claimed] == [("ran", 1), ("waits", 1)]
