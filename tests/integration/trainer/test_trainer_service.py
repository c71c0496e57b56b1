"""Training over gRPC: real service, real worker processes, real bars."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from tradewind.api.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from tradewind.errors import ConflictError, InvalidInputError, JobNotFoundError
from tradewind.jobs import JobState, TrainingJob
from tradewind.market import FeaturePipeline, FeatureSpec, load_sample
from tradewind.policy import TorchScriptPolicy
from tradewind.rpc.codecs.trainer import read_job

Config = dict[str, Any]
Trainer = Any  # tests/integration/trainer/conftest.py: TrainerUnderTest

pb = trainer_pb2


def is_training(job: TrainingJob) -> bool:
    return job.progress.phase == "training" and job.progress.timesteps_done > 0


def test_training_streams_its_progress_and_publishes_a_bundle_that_predicts(
    trainer: Trainer, tiny_config: Config
) -> None:
    started = trainer.client.start_training("btc", tiny_config)

    updates = list(trainer.client.watch(started.job_id))

    job = updates[-1]
    assert job.state == JobState.SUCCEEDED, job.error
    assert [update.state for update in updates] == sorted(update.state for update in updates)
    phases = list(dict.fromkeys(update.progress.phase for update in updates))
    assert phases == ["preparing", "training", "evaluating", "exporting", "publishing"]
    done = [update.progress.timesteps_done for update in updates]
    assert done == sorted(done)
    assert (done[-1], job.progress.timesteps_total) == (500, 500)
    assert job.progress.steps_per_second > 0.0
    assert {"risk/penalty", "risk/score", "rollout/exploration_rate"} <= set(job.progress.metrics)
    assert 0.0 < job.created_at <= job.started_at <= job.ended_at

    policy = TorchScriptPolicy.load_bundle(trainer.bundles / "btc" / job.bundle_version)
    assert policy.metadata.sha256 == job.bundle_sha256
    assert policy.metadata.features is not None
    spec = FeatureSpec.model_validate(policy.metadata.features.spec)
    bars = load_sample("BTC")
    pipeline = FeaturePipeline(spec)
    for index in range(spec.lookback):
        pipeline.update(bars.bar(index))
    action, _ = policy.predict(np.zeros(spec.observation_size, dtype=np.float32))
    assert action in (0, 1, 2)
    assert policy.metadata.training.data_digest == bars.digest

    accepted = json.loads(job.config_json)
    assert accepted["policy"] == "btc"
    assert accepted["algo_params"]["gamma"] == 0.99
    assert accepted["environment"]["transaction_cost"] == 0.001


def test_start_training_repeated_at_once_with_one_request_id_starts_one_job(
    trainer: Trainer, endless_config: Config
) -> None:
    def start(_: int) -> str:
        job = trainer.client.start_training("once", endless_config, request_id="request-1")
        return str(job.job_id)

    with ThreadPoolExecutor(6) as pool:
        job_ids = set(pool.map(start, range(12)))

    assert len(job_ids) == 1
    with pytest.raises(ConflictError, match="used for another training"):
        trainer.client.start_training("other", endless_config, request_id="request-1")
    assert trainer.client.cancel(job_ids.pop()).state == JobState.CANCELLED


def test_start_training_with_bad_config_names_every_key_and_makes_no_job(
    trainer: Trainer, tiny_config: Config
) -> None:
    tiny_config["algo_params"] |= {"learning_rate": -1.0, "momentum": 0.9}

    with pytest.raises(InvalidInputError) as refusal:
        trainer.client.start_training("never", tiny_config)

    fields = {violation.field for violation in refusal.value.violations}
    assert fields == {
        "config_json.algo_params.learning_rate",
        "config_json.algo_params.momentum",
    }
    jobs = list_all(trainer)
    assert "never" not in {job.policy for job in jobs}


def list_all(trainer: Trainer, page_size: int = 2) -> list[TrainingJob]:
    jobs: list[TrainingJob] = []
    token = ""
    with grpc.insecure_channel(trainer.service.address) as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        while True:
            request = pb.ListTrainingJobsRequest(page_size=page_size, page_token=token)
            page = stub.ListTrainingJobs(request, timeout=10)
            assert len(page.jobs) <= page_size
            jobs += map(read_job, page.jobs)
            token = page.next_page_token
            if not token:
                return jobs


@pytest.mark.parametrize(
    "request_message",
    [
        pb.ListTrainingJobsRequest(page_size=-1),
        pb.ListTrainingJobsRequest(page_token="mine"),
        pb.StartTrainingRequest(policy="btc", config_json="{"),
        pb.StartTrainingRequest(policy="btc", config_json="{}", request_id="r" * 300),
    ],
    ids=["page_size", "page_token", "config_json", "request_id"],
)
def test_malformed_request_is_an_invalid_argument(trainer: Trainer, request_message: Any) -> None:
    with grpc.insecure_channel(trainer.service.address) as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        listing = isinstance(request_message, pb.ListTrainingJobsRequest)
        call: Any = stub.ListTrainingJobs if listing else stub.StartTraining
        with pytest.raises(grpc.RpcError) as failure:
            call(request_message, timeout=60)

    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_calls_with_unknown_job_say_not_found(trainer: Trainer) -> None:
    for call in (trainer.client.get_job, trainer.client.cancel, trainer.wait_for_end):
        with pytest.raises(JobNotFoundError, match="no training job 'nope'"):
            call("nope")


def test_cancel_ends_the_running_job_and_the_queued_one_behind_it(
    trainer: Trainer, endless_config: Config
) -> None:
    running = trainer.client.start_training("first", endless_config)
    queued = trainer.client.start_training("second", endless_config)
    trainer.wait_until(running.job_id, is_training)
    (worker,) = trainer.workers()

    assert trainer.client.get_job(queued.job_id).state == JobState.QUEUED
    second = trainer.client.cancel(queued.job_id)
    first = trainer.client.cancel(running.job_id)

    assert second.state == first.state == JobState.CANCELLED
    assert second.started_at == 0.0
    assert not worker.is_running()
    assert trainer.client.cancel(running.job_id) == first
    assert not (trainer.bundles / "first").exists()


def test_killed_worker_fails_its_job_and_the_next_one_runs_into_its_own_error(
    trainer: Trainer, endless_config: Config
) -> None:
    job = trainer.client.start_training("killed", endless_config)
    endless_config["environment"] = {"episode_bars": 1_000_000}
    following = trainer.client.start_training("following", endless_config)
    trainer.wait_until(job.job_id, is_training)
    (worker,) = trainer.workers()

    worker.kill()

    ended = trainer.wait_for_end(job.job_id)
    assert ended.state == JobState.FAILED
    assert "killed by SIGKILL" in ended.error
    failed = trainer.wait_for_end(following.job_id)
    assert failed.state == JobState.FAILED
    assert "bars of BTC are too few" in failed.error
    with pytest.raises(ConflictError, match="has ended: FAILED"):
        trainer.client.cancel(following.job_id)


def test_training_that_stays_too_risky_is_stopped_by_risk(
    trainer: Trainer, endless_config: Config
) -> None:
    endless_config["risk_config"] |= {"early_stop_threshold": 0.001, "early_stop_patience": 300}
    job = trainer.client.start_training("risky", endless_config)

    ended = trainer.wait_for_end(job.job_id)

    assert ended.state == JobState.STOPPED_BY_RISK
    assert re.search(r"mean risk score over 3\d\d environment steps", ended.error)
    assert ended.bundle_version == ""
    assert not (trainer.bundles / "risky").exists()


def test_watch_given_up_by_its_client_frees_its_thread(
    trainer: Trainer, endless_config: Config
) -> None:
    job = trainer.client.start_training("watched", endless_config)
    threads = 64  # config/trainer.yaml

    for _ in range(threads + 1):
        trainer.wait_until(job.job_id, lambda _: True)

    assert trainer.client.cancel(job.job_id).state == JobState.CANCELLED


def test_metrics_count_jobs_by_state_and_time_them(
    trainer: Trainer, endless_config: Config
) -> None:
    timed = 'tradewind_trainer_job_duration_seconds_count{state="CANCELLED"}'
    before = trainer.metrics().get(timed, 0.0)
    job = trainer.client.start_training("measured", endless_config)
    trainer.wait_until(job.job_id, lambda job: job.state == JobState.RUNNING)
    trainer.client.cancel(job.job_id)
    deadline = time.monotonic() + 60.0
    while (metrics := trainer.metrics()).get(timed, 0.0) <= before:
        # It is timed a moment after its end is told.
        assert time.monotonic() < deadline, "the job was not timed"
        time.sleep(0.02)

    states = [job.state for job in list_all(trainer, page_size=500)]
    cancelled = states.count(JobState.CANCELLED)
    assert metrics['tradewind_trainer_jobs{state="CANCELLED"}'] == cancelled
    assert metrics['tradewind_trainer_jobs{state="RUNNING"}'] == 0
    assert metrics['tradewind_trainer_queue_length{device="auto"}'] == 0
    assert metrics['tradewind_trainer_slots{device="cpu"}'] == 1
