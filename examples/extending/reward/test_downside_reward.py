"""The reward is the same for one account alone and among others, and a training takes it."""

import json
from pathlib import Path

import pytest
from downside_reward import DownsideReward

from tradewind.errors import SettingsError
from trainer_service.testing import check_reward
from trainer_service.training.agent import TrainerAgent
from trainer_service.training.config import JobConfig, parse_training_config
from trainer_service.training.workspace import make_environment


@pytest.mark.parametrize("steps", [1, 48])
def test_reward_alone_is_reward_among_others(steps: int) -> None:
    check_reward(DownsideReward(steps=steps))


def test_training_takes_the_reward_by_its_name_and_the_bundle_records_its_version(
    tmp_path: Path,
) -> None:
    rules = tmp_path / "risk.yaml"
    rules.write_text("{monitor_only: true}")
    values = {
        "algorithm": "PPO",
        "algo_params": {"n_steps": 64, "batch_size": 32, "n_epochs": 2},
        "training_params": {"total_timesteps": 256, "held_out_fraction": 0.01},
        "environment": {"reward": {"kind": "downside", "options": {"steps": 12}}},
        "risk_config": {"policy_yaml": str(rules)},
        "evaluation": {"resamples": 100, "report": False},
        "tracking": {"tensorboard": None},
        "store": str(tmp_path / "bundles"),
        "drafts": str(tmp_path / "drafts"),
    }
    job = parse_training_config(values, JobConfig)
    bundle = TrainerAgent(job).train(make_environment(job))
    recorded = bundle.metadata.training.config["environment"]
    assert isinstance(recorded, dict)
    assert json.loads(json.dumps(recorded["reward"])) == {
        "name": "downside", "version": 1, "options": {"steps": 12, "weight": 0.5}
    }  # fmt: skip
    with pytest.raises(SettingsError, match=r"environment\.reward.*weight"):
        parse_training_config(
            {**values, "environment": {"reward": {"kind": "downside", "options": {"weight": -1}}}},
            JobConfig,
        )
