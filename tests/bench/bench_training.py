"""Training speed: Tradewind beside plain SB3 on gym-anytrading's forex-v0, and beside its limit.

    python -m tests.bench.bench_training

`same`: the same algorithm, hyper-parameters, number of environments and torch threads. `default`:
what Tradewind does when nothing is said, beside SB3 with its own defaults (PPO: the 8 environments
of `same`); the printed parameters say in what the two differ. The limit is the same algorithm with
the same parameters on an environment whose step costs nothing. All take turns in one process; every
figure and every ratio is the median of the rounds. What is timed is `model.learn` alone, without
evaluation and export. In every case each copy of Tradewind's environment goes beyond the end of its
first episode of 672 bars: before, the windows of the calculators would only be filling, and nothing
would be done for an episode that ends. forex-v0 has observations of 24 × 2 numbers and two actions,
Tradewind's environment 27 numbers and three actions.
"""

import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gym_anytrading  # noqa: F401 - registers forex-v0
import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from tradewind.constants import ACTION_HOLD
from tradewind.market import BarPanel, load_sample
from tradewind.market.feature_kernels import ObservationArray
from tradewind.policy import use_one_torch_thread
from tradewind.risk import ProductionRiskAdvisor
from trainer_service.algorithms import find_algorithm
from trainer_service.callbacks import RiskAwareCallback
from trainer_service.environment import EnvironmentConfig, VectorizedTradingEnv
from trainer_service.training.config import JobConfig, parse_training_config
from trainer_service.training.workspace import Workspace, make_environment

RISK_POLICY = Path(__file__).parents[2] / "config" / "risk_limits.yaml"
ROUNDS = 5
COPIES = 64
ADVISOR = ProductionRiskAdvisor(RISK_POLICY)


class NullVecEnv(VecEnv):
    """Costs nothing: gives the same arrays at every step, observations of a real start."""

    def __init__(self, like: VectorizedTradingEnv) -> None:
        super().__init__(like.num_envs, like.observation_space, like.action_space)
        like.seed(0)
        self._observations = like.reset()
        hold = np.full(like.num_envs, ACTION_HOLD)
        rewards = np.random.default_rng(0).normal(size=like.num_envs).astype(np.float32)
        _, _, dones, _ = like.step(hold)
        self._step: VecEnvStepReturn = (self._observations, rewards, dones, [{}] * like.num_envs)

    def reset(self) -> ObservationArray:
        """Gives the array."""
        return self._observations

    def step_async(self, actions: Any) -> None:
        """Does nothing."""

    def step_wait(self) -> VecEnvStepReturn:
        """Gives the arrays."""
        return self._step

    def close(self) -> None:
        """Does nothing."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Knows no attribute but the one that every environment is asked for."""
        if attr_name != "render_mode":
            raise AttributeError(attr_name)
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Has no attributes."""

    def env_method(self, method_name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Has no methods."""
        raise AttributeError(method_name)

    def env_is_wrapped(
        self,
        wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]],
        indices: VecEnvIndices = None,
    ) -> list[bool]:
        """Is not wrapped."""
        return [False] * self.num_envs


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        title: What is compared.
        algorithm: The algorithm.
        baseline_n_envs: Environments of the baseline.
        baseline_params: Parameters of the baseline.
        baseline_timesteps: How long it learns.
        n_envs: Environments of Tradewind; None for its default.
        algo_params: Its parameters.
        total_timesteps: How long it learns.
    """

    title: str
    algorithm: str
    baseline_n_envs: int
    baseline_params: dict[str, Any]
    baseline_timesteps: int
    n_envs: int | None
    algo_params: dict[str, Any]
    total_timesteps: int

    def config(self) -> JobConfig:
        """What Tradewind trains by."""
        values = {
            "algorithm": self.algorithm,
            "algo_params": self.algo_params,
            "training_params": {
                # As a training of this length is configured; learn() below is shorter.
                "total_timesteps": 1_000_000,
                "n_envs": self.n_envs,
                "device": "cpu",
            },
        }
        return parse_training_config(values, JobConfig)


SAME = {"n_steps": 256, "batch_size": 256, "n_epochs": 10}
CASES = (
    Case("PPO, same", "PPO", 8, SAME, 6_144, 8, SAME, 6_144),
    Case("PPO, default", "PPO", 8, SAME, 6_144, None, {}, 57_344),
    Case("DQN, default", "DQN", 1, {}, 4_000, None, {}, 16_000),
)


def train(config: JobConfig, env: VecEnv, timesteps: int, *, risk: bool) -> float:
    """Steps per second of an algorithm in an environment."""
    steps = config.training_params.total_timesteps
    model = find_algorithm(config.algorithm).build(
        config.algo_params, env, seed=0, device="cpu", total_timesteps=steps
    )
    callback = RiskAwareCallback(ADVISOR, early_stop_threshold=None) if risk else None
    started = time.perf_counter()
    model.learn(timesteps, callback=callback)
    return model.num_timesteps / (time.perf_counter() - started)


def train_baseline(case: Case) -> float:
    """Steps per second of plain SB3 on forex-v0."""
    values = {
        "algorithm": case.algorithm,
        "algo_params": case.baseline_params,
        "training_params": {"total_timesteps": 1_000_000, "n_envs": case.baseline_n_envs},
    }
    config = parse_training_config(values, JobConfig)
    env = make_vec_env("forex-v0", n_envs=case.baseline_n_envs, env_kwargs={"render_mode": None})
    return train(config, env, case.baseline_timesteps, risk=False)


def train_tradewind(case: Case, *, risk: bool) -> float:
    """Steps per second of Tradewind on the embedded BTC bars."""
    config = case.config()
    settings = config.risk_config.model_copy(update={"enabled": risk, "policy_yaml": RISK_POLICY})
    config = config.model_copy(update={"risk_config": settings})
    env = Workspace.prepare(make_environment(config), config).training_env
    return train(config, env, case.total_timesteps, risk=risk)


def train_null(case: Case) -> float:
    """Steps per second in the environment whose step costs nothing."""
    config = case.config()
    n_envs = config.training_params.n_envs
    assert n_envs is not None
    env = NullVecEnv(VectorizedTradingEnv(n_envs=n_envs))
    return train(config, env, case.total_timesteps, risk=False)


def step_alone(*, risk: bool) -> float:
    """Steps per second of the vectorised environment without any learning."""
    env = VectorizedTradingEnv(n_envs=COPIES, risk=ADVISOR if risk else None)
    return step_speed(env, np.random.default_rng(0).integers(0, 3, (512, COPIES)))


def panel_alone(panel: BarPanel, *, risk: bool) -> float:
    """The same of several symbols, each with a target of its own."""
    config = EnvironmentConfig(actions="continuous")
    env = VectorizedTradingEnv(panel, config, n_envs=COPIES, risk=ADVISOR if risk else None)
    shape = (512, COPIES, len(panel.symbols))
    return step_speed(env, np.random.default_rng(0).random(shape, dtype=np.float32))


def step_speed(env: VectorizedTradingEnv, actions: NDArray[Any]) -> float:
    """Steps per second with these actions, over and over."""
    env.seed(0)
    env.reset()
    env.step(actions[0])
    started = time.perf_counter()
    for step in range(4_096):
        env.step(actions[step % 512])
    return 4_096 * COPIES / (time.perf_counter() - started)


def measure(trainings: dict[str, Callable[[], float]]) -> list[dict[str, float]]:
    """The speed of each, in rounds in which they take turns."""
    return [{name: run() for name, run in trainings.items()} for _ in range(ROUNDS)]


def ratio(rounds: list[dict[str, float]], name: str, other: str) -> float:
    """The median over the rounds of one speed to another."""
    return statistics.median(each[name] / each[other] for each in rounds)


def compare(case: Case) -> None:
    """Measures and prints one case."""
    baseline, limit = "SB3 on forex-v0", "limit: a step that costs nothing"
    on, off = "Tradewind, every calculator on", "Tradewind, risk off"
    rounds = measure(
        {
            baseline: partial(train_baseline, case),
            on: partial(train_tradewind, case, risk=True),
            off: partial(train_tradewind, case, risk=False),
            limit: partial(train_null, case),
        }
    )
    config = case.config()
    own = {"n_envs": config.training_params.n_envs} | {
        name: config.algo_params[name]
        for name in ("n_steps", "batch_size", "n_epochs", "train_freq", "gradient_steps")
        if name in config.algo_params
    }
    print(f"\n{case.title}; baseline n_envs {case.baseline_n_envs}, {case.baseline_params}; {own}")
    for name in rounds[0]:
        speed = statistics.median(each[name] for each in rounds)
        print(f"  {name:34} {speed:10,.0f} steps/s {ratio(rounds, name, baseline):6.2f} x SB3")
    print(f"  of the limit: risk on {ratio(rounds, on, limit):.2f}, ", end="")
    print(f"off {ratio(rounds, off, limit):.2f}; risk costs {1.0 - ratio(rounds, on, off):.0%}")


def main() -> None:
    """Measures and prints every case."""
    use_one_torch_thread()
    ADVISOR.warm_up()
    # forex-v0 declares infinite bounds, about which Gymnasium warns at every make.
    warnings.filterwarnings("ignore", category=UserWarning, module="gymnasium")
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, one thread")
    panel = BarPanel.align([load_sample(symbol) for symbol in ("BTC", "ETH", "LTC")])
    alone = measure(
        {
            "risk off": partial(step_alone, risk=False),
            "risk on": partial(step_alone, risk=True),
            "3 symbols, risk off": partial(panel_alone, panel, risk=False),
            "3 symbols, risk on": partial(panel_alone, panel, risk=True),
        }
    )
    for name in alone[0]:
        speed = statistics.median(each[name] for each in alone)
        print(f"VecEnv alone, {COPIES} copies, {name}: {speed:,.0f} steps/s")
    for case in CASES:
        compare(case)


if __name__ == "__main__":
    main()
