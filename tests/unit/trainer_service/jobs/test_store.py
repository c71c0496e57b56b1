"""The job store on a real database file."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tradewind.errors import (
    ConflictError,
    InvalidInputError,
    JobNotFoundError,
    OverloadedError,
    SettingsError,
    StorageError,
)
from tradewind.jobs import JobState, TrainingJob, TrainingPhase, TrainingProgress
from trainer_service.jobs import JobStore


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new' / 'jobs.sqlite'}"


@pytest.fixture
def store(url: str) -> Iterator[JobStore]:
    store = JobStore(url)
    yield store
    store.close()


def make_job(name: str, request_id: str = "", config_json: str = "{}") -> TrainingJob:
    return TrainingJob(name, "btc", config_json, created_at=1.5, request_id=request_id)


def test_job_beyond_those_that_may_wait_is_refused_and_a_repeated_request_is_not(
    store: JobStore,
) -> None:
    store.add(make_job("a", request_id="r"), 2)
    store.add(make_job("b"), 2)
    with pytest.raises(OverloadedError, match="2 training jobs wait already"):
        store.add(make_job("c"), 2)
    with pytest.raises(JobNotFoundError):
        store.get("c")
    assert store.add(make_job("d", request_id="r"), 2).job_id == "a"
    store.claim(("auto",))
    assert store.add(make_job("c"), 2).job_id == "c"


def test_job_survives_a_reopened_store_with_everything_it_had(store: JobStore, url: str) -> None:
    progress = TrainingProgress(
        phase=TrainingPhase.TRAINING,
        timesteps_done=7,
        timesteps_total=9,
        steps_per_second=2.5,
        elapsed_s=3.5,
        metrics={"risk/score": 0.25},
    )
    store.add(make_job("a", request_id="r", config_json='{"x": 1}'))
    store.claim(("auto",))
    store.report("a", progress)
    store.end("a", JobState.SUCCEEDED, bundle_version="2026-11-22.1", bundle_sha256="ab" * 32)
    before = store.get("a")
    store.close()

    reopened = JobStore(url)
    after = reopened.get("a")
    reopened.close()

    assert after == before
    assert after.progress == progress
    assert (after.state, after.bundle_version) == (JobState.SUCCEEDED, "2026-11-22.1")
    assert 0.0 < after.started_at <= after.ended_at


def test_add_with_a_request_id_used_before_gives_the_first_job(store: JobStore) -> None:
    first = store.add(make_job("a", request_id="r"))

    assert store.add(make_job("b", request_id="r")) == first
    assert store.add(make_job("c", request_id="other")).job_id == "c"
    assert store.add(make_job("d")).job_id == "d"
    assert store.add(make_job("e")).job_id == "e"


def test_add_with_a_request_id_used_for_another_config_is_refused(store: JobStore) -> None:
    store.add(make_job("a", request_id="r"))

    with pytest.raises(ConflictError, match="used for another training, which is job a"):
        store.add(make_job("b", request_id="r", config_json='{"x": 2}'))


def test_add_from_many_threads_with_one_request_id_makes_one_job(store: JobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda n: store.add(make_job(f"j{n}", request_id="r")), range(24)))

    assert len({job.job_id for job in jobs}) == 1
    assert store.count_by_state()[JobState.QUEUED] == 1


def test_ended_job_takes_no_more_changes(store: JobStore) -> None:
    store.add(make_job("a"))
    store.claim(("auto",))
    assert store.end("a", JobState.CANCELLED)
    ended = store.get("a")

    store.report("a", TrainingProgress(timesteps_done=99))
    store.checkpointed("a", 50)
    store.note("a", "too late")
    assert not store.requeue("a", "too late", counts_as_attempt=True)

    assert not store.end("a", JobState.SUCCEEDED, bundle_version="2026-11-22.1")
    assert not store.request_cancel("a")
    assert store.get("a") == ended


def test_list_page_gives_every_job_once_newest_first(store: JobStore) -> None:
    for number in range(7):
        store.add(make_job(f"j{number}"))

    pages, token = [], ""
    while True:
        jobs, token = store.list_page(3, token)
        pages.append([job.job_id for job in jobs])
        if not token:
            break

    assert pages == [["j6", "j5", "j4"], ["j3", "j2", "j1"], ["j0"]]


@pytest.mark.parametrize("token", ["next", "-1", "1e3", "9" * 40, "١"])
def test_list_page_with_foreign_token_is_refused(store: JobStore, token: str) -> None:
    with pytest.raises(InvalidInputError, match="page_token"):
        store.list_page(3, token)


def test_get_with_unknown_id_says_so(store: JobStore) -> None:
    with pytest.raises(JobNotFoundError, match="no training job 'nope'"):
        store.get("nope")


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:", "nosql://x/y"])
def test_store_with_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="jobs: "):
        JobStore(url)


def test_store_on_a_file_that_is_no_database_fails_clearly(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_text("this is not a database, whatever its name says\n" * 50)

    with pytest.raises(StorageError, match="the job store failed: file is not a database"):
        JobStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
