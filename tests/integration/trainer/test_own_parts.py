"""Parts of the operator's own over gRPC: what is listed trains, and nothing else is imported."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.agents.contract import read_contract
from tradewind.bundle import read_bundle
from tradewind.errors import BundleFormatError, InvalidInputError
from tradewind.jobs import JobState
from tradewind.market import FeaturePipeline, PositionState, known_groups, load_sample
from tradewind.policy import TorchScriptPolicy

Config = dict[str, Any]
Trainer = Any  # tests/integration/trainer/conftest.py: TrainerUnderTest

HERE = "tests.integration.trainer.own_parts"
STRANGER = "tests.integration.trainer.not_listed:Anything"
LISTED = [f"{HERE}:{name}" for name in ("Cautious", "Gap", "Growth", "Beginning")]


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "imported"
    monkeypatch.setenv("TRADEWIND_TEST_MARK", str(path))
    return path


def with_own_parts(config: Config, **source: Any) -> Config:
    return {
        **config,
        "algorithm": f"{HERE}:Cautious",
        "training_params": {"total_timesteps": 600, "seed": 3, "held_out_fraction": 0.2},
        "data": {"source": {"kind": f"{HERE}:Beginning", "options": source}},
        "environment": {"episode_bars": 100, "reward": {"kind": f"{HERE}:Growth"}},
        "features": {"return_count": 4, "groups": [{"kind": f"{HERE}:Gap"}]},
    }


def test_service_trains_with_listed_parts_and_imports_no_others(
    make_trainer: Any, tiny_config: Config, mark: Path, tmp_path: Path
) -> None:
    followed = {"kind": f"{HERE}:Steps", "options": {"folder": str(tmp_path / "steps")}}
    trainer: Trainer = make_trainer(
        allow_components=LISTED, tracking={"tensorboard": None, "trackers": [followed]}
    )
    for field, change in (
        ("algorithm", {"algorithm": STRANGER}),
        ("environment.reward", {"environment": {"reward": STRANGER}}),
        ("features.groups[0]", {"features": {"groups": [{"kind": STRANGER}]}}),
        ("data.source", {"data": {"source": {"kind": STRANGER}}}),
        (
            "algo_params.policy_kwargs.features_extractor",
            {"algo_params": {"policy_kwargs": {"features_extractor": {"name": STRANGER}}}},
        ),
        ("tracking", {"tracking": {"trackers": [{"kind": STRANGER}]}}),
        ("environment.class", {"environment": {"class": STRANGER}}),
    ):
        with pytest.raises(InvalidInputError) as refusal:
            trainer.client.start_training("own", {**tiny_config, **change})
        (violation,) = refusal.value.violations
        assert violation.field.removeprefix("config_json.") == field
    job = trainer.client.start_training("own", with_own_parts(tiny_config))
    failing = trainer.client.start_training("failing", with_own_parts(tiny_config, fails=True))

    ended = trainer.wait_for_end(job.job_id)

    assert ended.state is JobState.SUCCEEDED, ended.error
    bundle = read_bundle(trainer.bundles / "own" / ended.bundle_version)
    metadata = bundle.metadata
    assert metadata.algo == "SB3-CAUTIOUS"
    assert metadata.features is not None
    recorded = {"name": "gap", "version": 4, "options": {}}
    assert metadata.features.spec["groups"] == [recorded]
    environment: Any = metadata.training.config["environment"]
    assert environment["reward"] == {"name": "growth", "version": 2, "options": {}}
    steps = (tmp_path / "steps" / "own").read_text().splitlines()
    assert int(steps[-1].split()[0]) > 300
    # Production builds the observation where its operator lists the group, and nowhere else.
    with pytest.raises(BundleFormatError, match=r"features\.groups\[0\]: needs .* gap@4"):
        read_contract(bundle.metadata_json.decode())
    contract = read_contract(bundle.metadata_json.decode(), known_groups([f"{HERE}:Gap"]))
    pipeline, bars = FeaturePipeline(contract.features), load_sample("BTC")
    for index in range(contract.features.lookback):
        pipeline.update(bars.bar(index))
    flat = PositionState(exposure=0.0, unrealized_return=0.0, bars_held=0)
    observation = pipeline.observation(flat)
    policy = TorchScriptPolicy.load_bundle(bundle.path)
    assert policy.predict(observation)[0] in (0, 1, 2)
    assert observation.dtype == np.float32
    # What someone's own code says in its anger is for the log of the service.
    failed = trainer.wait_for_end(failing.job_id)
    assert failed.state is JobState.FAILED
    assert "data.source: load() of" in failed.error
    assert "hunter2" not in failed.error
    assert not mark.exists()


def test_job_whose_row_names_other_code_fails_and_imports_nothing(
    make_trainer: Any, tiny_config: Config, endless_config: Config, mark: Path, tmp_path: Path
) -> None:
    trainer: Trainer = make_trainer(devices={"cpu": 1, "cuda": 0})
    first = trainer.client.start_training("first", endless_config)
    trainer.wait_until(first.job_id, lambda job: job.state is JobState.RUNNING)
    waiting = trainer.client.start_training("waiting", tiny_config)
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        (text,) = database.execute(
            "SELECT config_json FROM training_jobs WHERE job_id = ?", (waiting.job_id,)
        ).fetchone()
        changed = {**json.loads(text), "algorithm": STRANGER}
        database.execute(
            "UPDATE training_jobs SET config_json = ? WHERE job_id = ?",
            (json.dumps(changed), waiting.job_id),
        )
    database.close()

    trainer.client.cancel(first.job_id)

    ended = trainer.wait_for_end(waiting.job_id)
    assert ended.state is JobState.FAILED
    assert "only where the operator's settings list it" in ended.error
    assert not mark.exists()
