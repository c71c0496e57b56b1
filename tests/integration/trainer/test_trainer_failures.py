"""Whatever a job runs into ends that job with its cause, and nothing else."""

import json
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.trainer.conftest import TrainerUnderTest, make_tiny_config
from tests.unit.alerts.test_alerts import Receiver
from tests.waiting import wait_until
from tradewind.jobs import JobState, TrainingJob

Config = dict[str, Any]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def trainer(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver
) -> Iterator[TrainerUnderTest]:
    """One service for the module, which logs as JSON, trains on any file and tells people."""
    server = {"listen": "127.0.0.1:0", "logging": {"format": "json"}}
    told = {"urls": [receiver.url]}
    folder = tmp_path_factory.mktemp("trainer")
    trainer = TrainerUnderTest(folder, server=server, files="/", alerts=told)
    yield trainer
    trainer.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"resources": {"timeout_s": 0.5}}, "longer than its timeout_s of 0.5 s"),
        (
            {
                "resources": {"memory_limit_mb": 1024},
                # Within the limit by itself, and beyond it with all that a training takes beside.
                "algo_params": {"buffer_size": 4_300_000},
            },
            "ran out of the memory it may use (memory_limit_mb is 1024)",
        ),
        ({"environment": {"episode_bars": 20, "reward_scale": 1e300}}, "train/loss is"),
    ],
    ids=["timeout", "memory", "loss"],
)
def test_job_fails_with_its_cause_and_leaves_no_checkpoint(
    trainer: TrainerUnderTest, endless_config: Config, changes: Config, says: str
) -> None:
    job = trainer.client.start_training("failing", {**endless_config, **changes})

    ended = trainer.wait_for_end(job.job_id)

    assert ended.state == JobState.FAILED
    assert says in ended.error
    assert not (trainer.checkpoints / job.job_id).exists()


@dataclass(frozen=True)
class Aftermath:
    """Three jobs that ran one after the other: the first two fail, the last one succeeds."""

    trainer: TrainerUnderTest
    full_disk: TrainingJob
    bad_bars: TrainingJob
    following: TrainingJob
    secret: TrainingJob


@pytest.fixture(scope="module")
def aftermath(trainer: TrainerUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    rows = [f"{1_500_000_000 + 1800 * row},10,11,9,10,5" for row in range(2_000)]
    rows[700] = f"{1_500_000_000 + 1800 * 700},10,8,9,10,5"
    bars = tmp_path_factory.mktemp("bars") / "bars.csv"
    bars.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows, ""]))
    start = trainer.client.start_training
    full = start("full", make_tiny_config() | {"training_params": {"total_timesteps": 100_000_000}})
    data = {"path": str(bars), "symbol": "X"}
    raising = start("raising", make_tiny_config() | {"data": data}, request_id="night-8")
    passwords = tmp_path_factory.mktemp("passwords") / "bars.csv"
    passwords.write_text("user,password\nroot,hunter2\nroot,hunter2,hunter2\n")
    limit = {"memory_limit_mb": 1024}
    following = start("following", make_tiny_config() | {"resources": limit}, request_id="night-7")
    data = {"path": str(passwords), "symbol": "X"}
    secret = start("secret", make_tiny_config() | {"data": data})

    trainer.wait_until(full.job_id, lambda job: job.checkpoint_timesteps > 0)
    (worker,) = trainer.workers()
    # Its next file cannot grow beyond 4 KiB, as on a disk that has no more room.
    worker.rlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    ended = [trainer.wait_for_end(job.job_id) for job in (full, raising, following, secret)]
    return Aftermath(trainer, *ended)


def test_job_that_fills_the_disk_fails_with_its_cause(aftermath: Aftermath) -> None:
    assert aftermath.full_disk.state == JobState.FAILED
    assert "the disk is full" in aftermath.full_disk.error
    assert "cannot write a checkpoint" in aftermath.full_disk.error


def test_job_whose_environment_raises_fails_with_the_cause(aftermath: Aftermath) -> None:
    assert aftermath.bad_bars.state == JobState.FAILED
    assert "line 702, high: is below the open" in aftermath.bad_bars.error


def test_job_whose_files_are_none_of_bars_says_nothing_of_what_stands_there(
    aftermath: Aftermath,
) -> None:
    assert aftermath.secret.state == JobState.FAILED
    assert "bars.csv cannot be read as bars" in aftermath.secret.error
    everything = str(aftermath.secret)
    assert "hunter2" not in everything
    assert "user" not in aftermath.secret.error


def test_job_after_failed_ones_trains_and_evaluates_within_a_tight_memory_limit(
    aftermath: Aftermath,
) -> None:
    assert aftermath.following.state == JobState.SUCCEEDED, aftermath.following.error


def test_jobs_that_fail_are_told_to_people_and_others_are_not(
    aftermath: Aftermath, receiver: Receiver
) -> None:
    failed = [aftermath.full_disk, aftermath.bad_bars, aftermath.secret]
    titles = [f"[trainer_service] job failed: {job.job_id}" for job in failed]
    wait_until(lambda: set(titles) <= set(receiver.titles))
    assert not any(aftermath.following.job_id in title for title in receiver.titles)
    (told,) = (each for each in receiver.got if each["title"] == titles[1])
    assert "line 702, high: is below the open" in told["message"]


def test_job_is_found_by_its_request_id_from_the_call_to_the_bundle(aftermath: Aftermath) -> None:
    expected = {f"trainer_service.jobs.{name}" for name in ("queue", "runner", "worker")}
    jobs = ((aftermath.following, "night-7"), (aftermath.bad_bars, "night-8"))
    lines = aftermath.trainer.log_lines()
    for job, request_id in jobs:
        about = [line for line in lines if line.get("request_id") == request_id]
        assert {line["logger"] for line in about} >= expected
        assert {line["job"] for line in about if "job" in line} == {job.job_id}
    version = aftermath.following.bundle_version
    bundle = aftermath.trainer.bundles / "following" / version / "metadata.json"
    assert json.loads(bundle.read_text())["training"]["request_id"] == "night-7"
