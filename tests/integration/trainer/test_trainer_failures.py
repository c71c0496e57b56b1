"""Whatever a job runs into ends that job with its cause, and nothing else."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from tradewind.api.trainer.v1 import trainer_pb2 as pb

Config = dict[str, Any]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"resources": {"timeout_s": 0.5}}, "longer than its timeout_s of 0.5 s"),
        (
            {
                "resources": {"memory_limit_mb": 1024},
                "algo_params": {"buffer_size": 20_000_000},
            },
            "ran out of the memory it may use (memory_limit_mb is 1024)",
        ),
        ({"environment": {"episode_bars": 20, "reward_scale": 1e300}}, "train/loss is"),
    ],
    ids=["timeout", "memory", "loss"],
)
def test_job_fails_with_its_cause_and_leaves_no_checkpoint(
    trainer: Any, endless_config: Config, changes: Config, says: str
) -> None:
    job = trainer.client.start_training("failing", {**endless_config, **changes})

    ended = trainer.wait_for_end(job.job_id)

    assert ended.state == pb.TRAINING_JOB_STATE_FAILED
    assert says in ended.error
    assert not (trainer.checkpoints / job.job_id).exists()


def test_job_that_fills_the_disk_fails_and_the_next_one_succeeds(
    trainer: Any, endless_config: Config, tiny_config: Config
) -> None:
    job = trainer.client.start_training("full", endless_config)
    following = trainer.client.start_training("following", tiny_config)
    trainer.wait_until(job.job_id, lambda job: job.checkpoint_timesteps_count > 0)
    (worker,) = trainer.workers()

    # Its next file cannot grow beyond 4 KiB, as on a disk that has no more room.
    worker.rlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    ended = trainer.wait_for_end(job.job_id)
    assert ended.state == pb.TRAINING_JOB_STATE_FAILED
    assert "the disk is full" in ended.error
    assert "cannot write a checkpoint" in ended.error
    after = trainer.wait_for_end(following.job_id)
    assert after.state == pb.TRAINING_JOB_STATE_SUCCEEDED, after.error


def test_job_whose_environment_raises_fails_with_the_cause_and_the_service_lives_on(
    make_trainer: Any, tiny_config: Config, tmp_path: Path
) -> None:
    trainer = make_trainer(files="/")
    start = "timestamp,open,high,low,close,volume\n"
    rows = [f"{1_500_000_000 + 1800 * row},10,11,9,10,5" for row in range(2_000)]
    rows[700] = f"{1_500_000_000 + 1800 * 700},10,8,9,10,5"
    path = tmp_path / "bars.csv"
    path.write_text(start + "\n".join(rows) + "\n")
    config = {**tiny_config, "data": {"path": str(path), "symbol": "X"}}
    job = trainer.client.start_training("raising", config)

    ended = trainer.wait_for_end(job.job_id)

    assert ended.state == pb.TRAINING_JOB_STATE_FAILED
    assert "row 701, high: 8.0 is below the open" in ended.error
    following = trainer.client.start_training("after-raising", tiny_config)
    assert trainer.wait_for_end(following.job_id).state == pb.TRAINING_JOB_STATE_SUCCEEDED


@pytest.mark.parametrize("memory_limit_mb", [1024, 1536])
def test_small_job_within_a_memory_limit_trains_and_evaluates(
    trainer: Any, tiny_config: Config, memory_limit_mb: int
) -> None:
    config = {**tiny_config, "resources": {"memory_limit_mb": memory_limit_mb}}
    job = trainer.client.start_training(f"within-{memory_limit_mb}", config)

    ended = trainer.wait_for_end(job.job_id)

    assert ended.state == pb.TRAINING_JOB_STATE_SUCCEEDED, ended.error


def test_job_is_found_by_its_request_id_from_the_call_to_the_bundle(
    make_trainer: Any, tiny_config: Config, tmp_path: Path
) -> None:
    server = {"listen": "127.0.0.1:0", "logging": {"format": "json"}}
    trainer = make_trainer(server=server, files="/")
    broken = tmp_path / "bars.parquet"
    broken.write_bytes(b"PAR1")

    good = trainer.client.start_training("followed", tiny_config, request_id="night-7")
    ended = trainer.wait_for_end(good.job_id)
    config = {**tiny_config, "data": {"path": str(broken), "symbol": "X"}}
    bad = trainer.client.start_training("unread", config, request_id="night-8")
    assert trainer.wait_for_end(bad.job_id).state == pb.TRAINING_JOB_STATE_FAILED

    assert ended.state == pb.TRAINING_JOB_STATE_SUCCEEDED, ended.error
    trainer.close()
    (log,) = tmp_path.glob("trainer-*.log")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for job, request_id in ((good, "night-7"), (bad, "night-8")):
        about = [line for line in lines if line.get("request_id") == request_id]
        assert {line["logger"] for line in about} >= {
            "trainer_service.jobs.queue",
            "trainer_service.jobs.runner",
            "trainer_service.jobs.worker",
        }
        assert {line["job"] for line in about if "job" in line} == {job.job_id}
    bundle = trainer.bundles / "followed" / ended.bundle_version / "metadata.json"
    assert json.loads(bundle.read_text())["training"]["request_id"] == "night-7"
