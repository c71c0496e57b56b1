"""LagrangianCallback: what is learnt from, what is logged, what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from tradewind.errors import SettingsError, TrainingError
from tradewind.market import Bars
from tradewind.risk import RiskAgentV2
from trainer_service.callbacks import LagrangianCallback, LatestMetrics
from trainer_service.callbacks.multipliers import LagrangianConfig, Multipliers
from trainer_service.environment import (
    EnvironmentConfig,
    IntradayTradingEnv,
    VectorizedTradingEnv,
)
from trainer_service.training.agent import create_trainer_agent
from trainer_service.training.config import TrainingConfig, parse_training_config

MakeValues = Callable[..., dict[str, Any]]
EPISODE, STEPS = 40, 120
CONSTRAINTS = LagrangianConfig(
    constraints={"max_drawdown": 0.001, "gross_leverage": 9.0}, episodes=2
)


class Seen(BaseCallback):
    """The rewards before, and what the environment measured."""

    def __init__(self) -> None:
        super().__init__()
        self.rewards: list[Any] = []
        self.metrics: list[Any] = []
        self.dones: list[Any] = []

    def _on_step(self) -> bool:
        env: Any = self.training_env.unwrapped
        self.rewards.append(self.locals["rewards"].copy())
        columns = [env.step_risk.metric(name) for name in CONSTRAINTS.constraints]
        self.metrics.append(np.stack(columns, axis=1))
        self.dones.append(self.locals["dones"].copy())
        return True


def make_env(bars: Bars, risk_policy: Path | None) -> VectorizedTradingEnv:
    return VectorizedTradingEnv(
        bars,
        EnvironmentConfig(episode_bars=EPISODE),
        n_envs=2,
        risk=None if risk_policy is None else RiskAgentV2.from_yaml(risk_policy),
    )


def learn(env: Any, *callbacks: BaseCallback) -> tuple[PPO, LatestMetrics]:
    model = PPO("MlpPolicy", env, n_steps=STEPS, batch_size=STEPS, n_epochs=1, seed=3)
    metrics = LatestMetrics()
    model.set_logger(Logger(folder=None, output_formats=[metrics]))
    return model.learn(2 * STEPS, callback=list(callbacks)), metrics


def test_callback_with_a_broken_limit_makes_the_model_learn_from_what_it_costs(
    btc: Bars, risk_policy: Path
) -> None:
    seen, callback = Seen(), LagrangianCallback(CONSTRAINTS)
    model, logged = learn(make_env(btc, risk_policy), seen, callback)

    expected = Multipliers(CONSTRAINTS, 2)
    reward_scale = EnvironmentConfig().reward_scale
    rewards = [
        reward - reward_scale * expected.costs(metrics, dones)
        for reward, metrics, dones in zip(seen.rewards, seen.metrics, seen.dones, strict=True)
    ]
    going_on = ~np.array(seen.dones)  # to the last reward, PPO adds the value of what would follow
    learnt: Any = model.rollout_buffer.rewards
    np.testing.assert_allclose(learnt[going_on], np.array(rewards)[going_on], rtol=1e-5, atol=1e-5)
    assert not np.allclose(rewards, seen.rewards)
    drawdown, leverage = expected.values
    assert drawdown > 0.0
    assert leverage == 0.0
    assert logged.values["multiplier/max_drawdown"] == pytest.approx(drawdown)
    assert (
        logged.values["constraint/max_drawdown"] > 1.0 > logged.values["constraint/gross_leverage"]
    )


def test_callback_with_a_metric_that_is_never_known_ends_the_training(
    btc: Bars, risk_policy: Path
) -> None:
    config = LagrangianConfig(constraints={"depth_shock": 0.1}, episodes=2)
    with pytest.raises(TrainingError, match="depth_shock was unavailable at the end of 2"):
        learn(make_env(btc, risk_policy), LagrangianCallback(config))


def test_callback_with_an_environment_that_measures_nothing_is_refused(btc: Bars) -> None:
    copies = DummyVecEnv([lambda: IntradayTradingEnv(btc)])
    for env in (make_env(btc, None), copies):
        with pytest.raises(TrainingError, match="measures risk"):
            learn(env, LagrangianCallback(CONSTRAINTS))


def test_agent_with_constraints_trains_under_them(
    training_values: MakeValues, btc: Bars, risk_policy: Path
) -> None:
    values = training_values(
        "PPO",
        risk_config={
            "enabled": True,
            "policy_yaml": str(risk_policy),
            "penalty_weight": 0.0,
            "lagrangian": CONSTRAINTS.model_dump(),
        },
    )
    figures: dict[str, float] = {}
    env = IntradayTradingEnv(btc, EnvironmentConfig(episode_bars=EPISODE))
    bundle = create_trainer_agent(values).train(
        env, lambda progress: figures.update(progress.metrics)
    )
    assert figures["multiplier/max_drawdown"] > 0.0
    recorded: Any = bundle.metadata.training.config["risk_config"]
    assert recorded["lagrangian"]["constraints"] == CONSTRAINTS.constraints


@pytest.mark.parametrize(
    ("risk", "field"),
    [
        ({"lagrangian": {"constraints": {"luck": 0.1}}}, "constraints.luck"),
        ({"lagrangian": {"constraints": {"max_drawdown": 0.0}}}, "constraints.max_drawdown"),
        ({"lagrangian": {"constraints": {}}}, "lagrangian.constraints"),
        ({"enabled": False, "lagrangian": {"constraints": {"max_drawdown": 0.1}}}, "risk_config"),
    ],
)
def test_configuration_with_impossible_constraints_is_refused(
    training_values: MakeValues, risk_policy: Path, risk: dict[str, Any], field: str
) -> None:
    values = training_values(
        "PPO", risk_config={"enabled": True, "policy_yaml": str(risk_policy), **risk}
    )
    with pytest.raises(SettingsError, match=field):
        parse_training_config(values, TrainingConfig)
