"""An interrupted training and its resumption end as the unbroken one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tradewind.market import Bars
from trainer_service.checkpoints import Checkpointing, CheckpointSettings
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.training.agent import create_trainer_agent

MakeValues = Callable[..., dict[str, Any]]


class KilledError(Exception):
    """Stands for a kill: nothing after it runs."""


def make_env(bars: Bars, algorithm: str) -> IntradayTradingEnv:
    actions = "continuous" if algorithm == "SAC" else "discrete"
    return IntradayTradingEnv(
        bars, EnvironmentConfig.model_validate({"episode_bars": 50, "actions": actions})
    )


def interrupt_after(timesteps: int) -> Callable[[int], None]:
    def on_written(done: int) -> None:
        if done >= timesteps:
            raise KilledError

    return on_written


@pytest.mark.parametrize("algorithm", ["DQN", "PPO", "SAC"])
def test_resumed_training_ends_with_the_network_of_the_unbroken_one(
    training_values: MakeValues, btc: Bars, risk_policy: Path, tmp_path: Path, algorithm: str
) -> None:
    values = training_values(
        algorithm,
        training_params={
            "total_timesteps": 512,
            "seed": 5,
            "n_envs": 2,
            "normalize_observations": True,
            "normalize_rewards": True,
        },
        risk_config={"enabled": True, "policy_yaml": str(risk_policy)},
        evaluation={"resamples": 100, "report": False},
    )
    trainer = create_trainer_agent(values)
    settings = CheckpointSettings(folder=tmp_path / "c", interval_s=None, interval_timesteps=100)
    notes: list[str] = []

    unbroken = trainer.train(make_env(btc, algorithm)).metadata
    for after in (200, 350):
        with pytest.raises(KilledError):
            trainer.train(
                make_env(btc, algorithm),
                checkpointing=Checkpointing(settings, interrupt_after(after), notes.append),
            )
    resumed = trainer.train(
        make_env(btc, algorithm), checkpointing=Checkpointing(settings, on_note=notes.append)
    ).metadata

    assert resumed.sha256 == unbroken.sha256
    assert resumed.evaluation == unbroken.evaluation
    assert [note.rsplit(" ", 1)[0] for note in notes] == [
        "resumed from the checkpoint at timestep"
    ] * 2
    assert resumed.training.timesteps == unbroken.training.timesteps
