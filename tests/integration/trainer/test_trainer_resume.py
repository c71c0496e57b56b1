"""Jobs whose process or service ends before they do: real kills, real restarts."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from tradewind.errors import UnavailableError
from tradewind.jobs import JobState, TrainingJob

Config = dict[str, Any]


def has_checkpoint(job: TrainingJob) -> bool:
    return job.checkpoint_timesteps > 0


@pytest.mark.slow
def test_killed_service_resumes_its_job_and_ends_with_the_network_of_an_unbroken_one(
    make_trainer: Any, tiny_config: Config
) -> None:
    tiny_config["algo_params"]["target_update_interval"] = 500
    tiny_config["training_params"] |= {
        "total_timesteps": 6000,
        "n_envs": 2,
        "normalize_observations": True,
        "device": "cpu",
    }
    first = make_trainer(devices={"cpu": 2})
    job = first.client.start_training("broken", tiny_config)
    first.wait_until(job.job_id, has_checkpoint)
    workers = first.workers()

    first.service.popen.kill()

    gone, _ = psutil.wait_procs(workers, timeout=60)
    assert set(gone) == set(workers)
    second = make_trainer(devices={"cpu": 2})
    unbroken = second.client.start_training("unbroken", tiny_config)
    resumed = second.wait_for_end(job.job_id)
    assert resumed.state == JobState.SUCCEEDED, resumed.error
    assert resumed.bundle_sha256 == second.wait_for_end(unbroken.job_id).bundle_sha256
    assert resumed.resumes == 1
    lost, went_on = resumed.notes
    assert lost == "the trainer service that ran the job ended without a word"
    assert went_on.startswith("resumed from the checkpoint at timestep ")
    assert resumed.progress.timesteps_done >= 6000
    (run,) = (second.tensorboard / "broken").iterdir()
    assert_whole_curve(run, went_on)
    assert list(second.checkpoints.iterdir()) == []
    assert second.metrics()["tradewind_trainer_resumes_total"] == 1


def assert_whole_curve(run: Path, went_on: str) -> None:
    """One run holds what was logged before the kill and after it, each step once."""
    resumed_at = int(went_on.rsplit(" ", 1)[1])
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    steps = [point.step for point in events.Scalars("time/fps")]
    assert steps == sorted(set(steps))
    assert steps[0] <= resumed_at < steps[-1]


def test_stopped_service_hands_its_job_to_the_next_one_which_passes_over_damage(
    make_trainer: Any, endless_config: Config
) -> None:
    first = make_trainer()
    job = first.client.start_training("stopped", endless_config)
    first.wait_until(job.job_id, lambda job: job.checkpoint_timesteps >= 2000)
    (worker,) = first.workers()

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(first.wait_for_end, job.job_id)
        first.wait_until(job.job_id, has_checkpoint)
        first.service.popen.send_signal(signal.SIGTERM)
        with pytest.raises(UnavailableError, match="is stopping"):
            watching.result(timeout=60)

    assert first.service.popen.wait(60) == 0
    assert not worker.is_running()
    earlier, latest = sorted((first.checkpoints / job.job_id).glob("*.zip"))
    latest.write_bytes(latest.read_bytes()[:-100])
    second = make_trainer()
    resumed = second.wait_until(job.job_id, lambda job: len(job.notes) >= 3)
    assert resumed.notes[0] == "the trainer service was stopped while the job ran"
    assert f"{latest.name} cannot be read" in resumed.notes[1]
    timesteps = int(earlier.stem.removeprefix("checkpoint-"))
    assert resumed.notes[2] == f"resumed from the checkpoint at timestep {timesteps}"
    assert second.client.cancel(job.job_id).state == JobState.CANCELLED
    assert list(second.checkpoints.iterdir()) == []


def test_job_whose_process_crashes_again_and_again_fails_and_the_next_one_runs(
    make_trainer: Any, endless_config: Config, tiny_config: Config
) -> None:
    trainer = make_trainer(max_attempts=2)
    job = trainer.client.start_training("crashing", endless_config)
    following = trainer.client.start_training("following", tiny_config)

    for attempt in (1, 2):
        trainer.wait_until(job.job_id, lambda job, attempt=attempt: job.attempts == attempt)
        while not (workers := trainer.workers()):
            time.sleep(0.01)
        workers[0].send_signal(signal.SIGSEGV)

    ended = trainer.wait_for_end(job.job_id)
    assert ended.state == JobState.FAILED
    assert "given up after 2 attempts without a new checkpoint" in ended.error
    assert "killed by SIGSEGV" in ended.error
    after = trainer.wait_for_end(following.job_id)
    assert after.state == JobState.SUCCEEDED, after.error


def test_two_services_on_one_postgresql_run_each_job_once_and_cancel_each_others(
    make_trainer: Any, postgres: Any, endless_config: Config
) -> None:
    url = postgres.create_database()
    with ThreadPoolExecutor(2) as pool:
        starting = [pool.submit(make_trainer, jobs=url) for _ in range(2)]
        first, second = (trainer.result() for trainer in starting)
    names = ("a", "b", "c")
    jobs = [first.client.start_training(name, endless_config) for name in names]
    for job in jobs[:2]:
        second.wait_until(job.job_id, lambda job: job.progress.timesteps_done > 0)

    assert [len(trainer.workers()) for trainer in (first, second)] == [1, 1]
    assert second.client.get_job(jobs[2].job_id).state == JobState.QUEUED
    # One of the two runs in the other service, whichever is asked.
    for job in jobs[:2]:
        assert first.client.cancel(job.job_id).state == JobState.CANCELLED
    second.wait_until(jobs[2].job_id, lambda job: job.state == JobState.RUNNING)
    assert first.client.cancel(jobs[2].job_id).attempts == 1
