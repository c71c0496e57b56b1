"""What a runner tells of the jobs that ended: the time they ran, once each."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tradewind.jobs import JobState, TrainingJob, TrainingProgress
from trainer_service.checkpoints import CheckpointSettings
from trainer_service.jobs import JobStore, RunnerSettings, Slot
from trainer_service.jobs.runner import JobRunner
from trainer_service.jobs.runs import Changes, JobRuns
from trainer_service.service.telemetry import Telemetry

SLOT = Slot("cpu-0", "cpu", ("cpu", "auto"))
# A job that ran 5 s before, and so fails at once, without a process.
TIMED_OUT = TrainingJob("a", "btc", '{"resources": {"timeout_s": 4.0}}')
RAN = TrainingProgress(elapsed_s=5.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


@contextmanager
def open_store(path: Path, lease_s: float = 30.0) -> Iterator[JobStore]:
    store = JobStore(f"sqlite:///{path}", lease_s=lease_s)
    yield store
    store.close()


@contextmanager
def running(
    store: JobStore,
    folder: Path,
    on_start: Callable[[TrainingJob], None],
    on_end: Callable[[TrainingJob, float], None],
) -> Iterator[Changes]:
    changes = Changes()
    settings = RunnerSettings(
        checkpoints=CheckpointSettings(folder=folder / "checkpoints"), grace_s=1.0, max_attempts=3
    )
    runner = JobRunner(SLOT, store, settings, JobRuns(), changes, on_start=on_start, on_end=on_end)
    runner.start()
    try:
        yield changes
    finally:
        runner.close()
        runner.join()


def test_job_that_was_interrupted_for_a_day_counts_the_seconds_that_it_ran(
    path: Path, tmp_path: Path
) -> None:
    registry = CollectorRegistry()
    ended = threading.Event()
    with open_store(path) as store:
        telemetry = Telemetry(registry, store, [SLOT])

        def on_end(job: TrainingJob, ran_s: float) -> None:
            telemetry.observe_end(job, ran_s)
            ended.set()

        store.add(TIMED_OUT)
        store.claim(SLOT.takes)
        store.report("a", RAN)
        assert store.requeue("a", "the service was stopped", counts_as_attempt=False)
        with sqlite3.connect(path) as file:
            file.execute("UPDATE training_jobs SET started_at = started_at - 86400")
        file.close()
        with running(store, tmp_path, telemetry.observe_start, on_end):
            assert ended.wait(60)

    name, labels = "tradewind_trainer_job_duration_seconds", {"state": "FAILED"}
    assert registry.get_sample_value(f"{name}_count", labels) == 1
    total = registry.get_sample_value(f"{name}_sum", labels)
    assert total is not None
    assert 5.0 <= total < 3600.0
    assert registry.get_sample_value("tradewind_trainer_resumes_total") == 1


def test_job_that_another_service_took_and_ended_is_counted_there_alone(
    path: Path, tmp_path: Path
) -> None:
    started: list[str] = []
    ended: list[str] = []
    with open_store(path, lease_s=0.001) as store, open_store(path) as other:
        store.add(TIMED_OUT)
        store.claim(SLOT.takes)
        store.report("a", RAN)
        store.requeue("a", "the service was stopped", counts_as_attempt=False)

        def taken_meanwhile(job: TrainingJob) -> None:
            while other.claim(SLOT.takes) is None:
                pass
            assert other.end(job.job_id, JobState.SUCCEEDED)
            started.append(job.job_id)

        with running(
            store, tmp_path, taken_meanwhile, lambda job, _: ended.append(job.job_id)
        ) as changes:
            # Told once as the job starts and once as it has been settled.
            while changes.count < 2:
                changes.wait(changes.count, lambda: False, 1.0)

        assert other.get("a").state is JobState.SUCCEEDED
    assert (started, ended) == (["a"], [])
