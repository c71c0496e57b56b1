"""One small trained model of every algorithm and kind of action, shared by the tests."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.exporting import OWN
from tradewind.market import Bars, split_bars
from trainer_service.algorithms import ActionKind
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.training.config import JobConfig, parse_training_config
from trainer_service.training.workspace import Workspace

STEPS = 256
PARAMETERS: dict[str, dict[str, Any]] = {
    "DQN": {"learning_starts": 64, "batch_size": 16},
    "QR-DQN": {"learning_starts": 64, "batch_size": 16, "exploration_final_eps": 0.2},
    "PPO": {"n_steps": 64, "batch_size": 32, "n_epochs": 2},
    "A2C": {"n_steps": 16},
    "TRPO": {"n_steps": 64, "batch_size": 32, "n_critic_updates": 2},
    "SAC": {"learning_starts": 200, "batch_size": 16, "learning_rate": 0.01},
    "TD3": {"learning_starts": 200, "batch_size": 16, "learning_rate": 0.01},
    "TQC": {"learning_starts": 200, "batch_size": 16, "learning_rate": 0.01},
}


class Trained(NamedTuple):
    """A model and where it comes from.

    Attributes:
        observations: As the environment gives them: of random trading on held-out bars, and random
            ones that make the network choose now this, now that.
    """

    model: Any
    config: JobConfig
    workspace: Workspace
    observations: NDArray[np.float32]

    def expected_actions(self) -> NDArray[Any]:
        """What the library's own predict says to the observations."""
        statistics = self.model.get_vec_normalize_env()
        inputs = self.observations
        if statistics is not None:
            inputs = statistics.normalize_obs(inputs)
        actions: NDArray[Any] = self.model.predict(inputs, deterministic=True)[0]
        return actions


Train = Callable[..., Trained]


@pytest.fixture(scope="session")
def train(risk_policy: Path, btc: Bars) -> Train:
    """`train("SAC", "continuous", normalized=True)`; equal arguments give the same model."""
    bars = btc.slice(0, 1_200)

    @cache
    def make(
        algorithm: str, actions: ActionKind, *, normalized: bool, extractor: str | None = None
    ) -> Trained:
        named = {} if extractor is None else {"features_extractor": {"name": extractor}}
        config = parse_training_config(
            {
                "algorithm": algorithm,
                "algo_params": {
                    **PARAMETERS[algorithm],
                    "policy_kwargs": {"net_arch": [16, 16], **named},
                },
                "training_params": {"total_timesteps": STEPS, "normalize_observations": normalized},
                "risk_config": {"policy_yaml": risk_policy},
                "environment": {
                    "actions": actions,
                    "allow_short": normalized,
                    "episode_bars": 100,
                },
            },
            JobConfig,
        )
        env = IntradayTradingEnv(bars, config.environment)
        workspace = Workspace.prepare(env, config)
        model = OWN[algorithm].build(
            config.algo_params, workspace.training_env, seed=1, device="auto", total_timesteps=STEPS
        )
        model.learn(STEPS)
        return Trained(model, config, workspace, observe(bars, config.environment))

    return make


def observe(bars: Bars, settings: EnvironmentConfig) -> NDArray[np.float32]:
    env = IntradayTradingEnv(split_bars(bars, 0.2)[1], settings)
    env.action_space.seed(0)
    env.reset(seed=0)
    seen = [env.step(env.action_space.sample())[0] for _ in range(100)]
    shape = (200, env.feature_spec.observation_size)
    wide = np.random.default_rng(0).normal(0.0, 4.0, shape).clip(-10.0, 10.0)
    return np.concatenate([seen, wide.astype(np.float32)])
