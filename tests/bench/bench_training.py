"""Training speed: Tradewind with risk on and off, beside plain SB3 on gym-anytrading's forex-v0.

    python -m tests.bench.bench_training

All three learn with the same algorithm, hyper-parameters, number of environments and torch
threads, and take turns in one process; every figure is the median of the rounds. What is timed is
`model.learn` alone, without evaluation and export. forex-v0 has observations of 24 × 2 numbers and
two actions, Tradewind's environment 27 numbers and three actions.
"""

import os
import platform
import statistics
import tempfile
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gym_anytrading  # noqa: F401 - registers forex-v0
import torch
from stable_baselines3.common.env_util import make_vec_env

from tradewind.policy import use_one_torch_thread
from trainer_service.agent import TrainerAgent
from trainer_service.algorithms import find_algorithm
from trainer_service.config import JobConfig, parse_training_config
from trainer_service.progress import TrainingPhase, TrainingProgress
from trainer_service.workspace import make_environment

RISK_POLICY = Path(__file__).parents[2] / "config" / "risk_limits.yaml"
ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """What is trained, the same way in every environment."""

    algorithm: str
    n_envs: int
    total_timesteps: int
    algo_params: dict[str, Any]


CASES = (
    Case("PPO", 8, 20_480, {"n_steps": 256, "batch_size": 256, "n_epochs": 10}),
    Case("DQN", 1, 8_000, {"learning_starts": 100, "batch_size": 32, "train_freq": 4}),
)


def train_baseline(case: Case) -> float:
    """Steps per second of plain SB3 on forex-v0."""
    algorithm = find_algorithm(case.algorithm)
    parameters = algorithm.complete(case.algo_params, case.n_envs, case.total_timesteps)
    env = make_vec_env("forex-v0", n_envs=case.n_envs, env_kwargs={"render_mode": None})
    model = algorithm.build(
        parameters, env, seed=0, device="cpu", total_timesteps=case.total_timesteps
    )
    started = time.perf_counter()
    model.learn(case.total_timesteps)
    return model.num_timesteps / (time.perf_counter() - started)


def train_tradewind(case: Case, store: str, *, risk: bool) -> float:
    """Steps per second of Tradewind on the embedded BTC bars."""
    values = {
        "algorithm": case.algorithm,
        "algo_params": case.algo_params,
        "training_params": {
            "total_timesteps": case.total_timesteps,
            "n_envs": case.n_envs,
            "device": "cpu",
        },
        "risk_config": {
            "enabled": risk,
            "policy_yaml": RISK_POLICY,
            "early_stop_threshold": None,
        },
        "store": store,
    }
    config = parse_training_config(values, JobConfig)
    reports: list[TrainingProgress] = []
    TrainerAgent(config).train(make_environment(config), reports.append)
    training = [report for report in reports if report.phase is TrainingPhase.TRAINING]
    return training[-1].steps_per_second


def main() -> None:
    """Measures and prints every case."""
    use_one_torch_thread()
    # forex-v0 declares infinite bounds, about which Gymnasium warns at every make.
    warnings.filterwarnings("ignore", category=UserWarning, module="gymnasium")
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, one thread")
    print(f"{'':4} {'environments':>12} {'':34} {'steps/s':>9} {'x SB3 + forex-v0':>17}")
    with tempfile.TemporaryDirectory() as store:
        for case in CASES:
            trainings = {
                "SB3 on gym-anytrading forex-v0": partial(train_baseline, case),
                "Tradewind, risk off": partial(train_tradewind, case, store, risk=False),
                "Tradewind, every calculator on": partial(train_tradewind, case, store, risk=True),
            }
            rounds = [{name: train() for name, train in trainings.items()} for _ in range(ROUNDS)]
            speeds = {name: statistics.median(r[name] for r in rounds) for name in trainings}
            baseline, off, on = speeds.values()
            for name, speed in speeds.items():
                print(
                    f"{case.algorithm:4} {case.n_envs:12} {name:34} {speed:9,.0f} "
                    f"{speed / baseline:17.2f}"
                )
            print(f"{case.algorithm:4} {case.n_envs:12} risk costs {1.0 - on / off:.0%} of steps/s")


if __name__ == "__main__":
    main()
