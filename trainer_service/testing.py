"""For the tests of whoever writes an algorithm or a reward."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tradewind.bundle import BundleStore
from tradewind.errors import ComponentError, FieldViolation
from tradewind.market import BarSeries, load_sample
from tradewind.parts import check_version
from tradewind.policy import TorchScriptPolicy
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv, VectorizedTradingEnv
from trainer_service.environment.reward import REWARDS, Reward
from trainer_service.progress import ProgressReporter
from trainer_service.training.agent import create_trainer_agent
from trainer_service.training.draft import make_draft
from trainer_service.training.workspace import Workspace

__all__ = ["check_algorithm", "check_reward"]

_COPIES, _STEPS = 5, 300


def check_algorithm(
    algorithm: str,
    algo_params: Mapping[str, Any],
    *,
    config: EnvironmentConfig | None = None,
    timesteps: int = 400,
) -> TorchScriptPolicy:
    """Trains an algorithm for a moment, and checks that its bundle acts as its model does.

    Args:
        algorithm: Its name, or `package.module:Attribute`.
        algo_params: Its parameters, with which it learns within so few steps.
        config: How the environment trades; discrete actions by default.
        timesteps: How long it learns.

    Returns:
        The policy of the bundle, as it is served.

    Raises:
        SettingsError: The algorithm or a parameter is refused.
        TrainingError: It cannot be built, or does not learn.
        ExportError: Its exported policy acts differently from its model.
    """
    config = config or EnvironmentConfig(episode_bars=100)
    env = IntradayTradingEnv(load_sample("BTC").slice(0, 1_500), config)
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder, "risk.yaml")
        rules.write_text("{monitor_only: true}")
        agent = create_trainer_agent(
            {
                "algorithm": algorithm,
                "algo_params": dict(algo_params),
                "training_params": {"total_timesteps": timesteps, "normalize_observations": True},
                "risk_config": {"policy_yaml": rules},
                "evaluation": {"resamples": 100, "report": False},
            }
        )
        reporter = ProgressReporter(lambda _: None, timesteps)
        trained = agent.fit(env, reporter)
        # It compares the exported policy with the model on every held-out observation.
        workspace = Workspace.prepare(env, agent.config)
        draft = make_draft(trained, workspace, agent.config, reporter)
        return TorchScriptPolicy.load_bundle(BundleStore(Path(folder, "store")).publish(draft).path)


def check_reward(reward: Reward, bars: BarSeries | None = None) -> None:
    """Checks that a reward is the same for one environment alone and for many together.

    Args:
        reward: The reward.
        bars: What is traded, at random; by default the beginning of the embedded sample of BTC.

    Raises:
        ComponentError: It is refused at the start of a training, or gives other numbers; the
            message says which, and after how many steps.
        TrainingError: It fails in an episode, or is no finite number.
    """
    check_version(REWARDS.kind, type(reward), "reward")
    bars = load_sample("BTC").slice(0, 1_000) if bars is None else bars
    config = EnvironmentConfig(
        reward=reward, actions="continuous", allow_short=True, episode_bars=100
    )
    together = VectorizedTradingEnv(bars, config, n_envs=_COPIES, stagger=False)
    alone = [IntradayTradingEnv(bars, config) for _ in range(_COPIES)]
    together.seed(5)
    together.reset()
    for row, env in enumerate(alone):
        env.reset(seed=5 + row)
    random = np.random.default_rng(5)
    for step in range(_STEPS):
        shape = (_COPIES, *(together.action_space.shape or ()))
        actions = random.uniform(-1.0, 1.0, shape).astype(np.float32)
        found = together.step(actions)[1]
        for row, env in enumerate(alone):
            _, wanted, terminated, truncated, _ = env.step(actions[row])
            if np.float32(wanted).tobytes() != found[row].tobytes():
                said = (
                    f"{reward.identity} gave {found[row]} after {step + 1} steps to an account "
                    f"among others, {np.float32(wanted)} to it alone"
                )
                raise ComponentError("reward is refused", [FieldViolation("reward", said)])
            if terminated or truncated:
                env.reset()
