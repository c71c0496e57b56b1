"""Fixtures of the trainer's unit tests: real bars, real risk policies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tradewind.market import Bars, load_sample
from tradewind.policy import use_one_torch_thread

RISK_POLICY = Path(__file__).parents[3] / "config" / "risk_limits.yaml"


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    """Small networks are slower with more, above all beside other tests."""
    use_one_torch_thread()


@pytest.fixture(scope="session")
def btc() -> Bars:
    """Two months of half-hour bars."""
    return load_sample("BTC").slice(10_000, 13_000)


@pytest.fixture(scope="session")
def risk_policy() -> Path:
    """The risk policy that ships."""
    return RISK_POLICY


@pytest.fixture
def training_values(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Makes the smallest configuration that trains, with some sections replaced."""

    def make(algorithm: str = "DQN", **sections: Any) -> dict[str, Any]:
        params = {
            "DQN": {"learning_starts": 64, "batch_size": 16},
            "PPO": {"n_steps": 64, "batch_size": 32, "n_epochs": 2},
            "SAC": {"learning_starts": 200, "batch_size": 16},
        }
        return {
            "algorithm": algorithm,
            "algo_params": params.get(algorithm, {}),
            "training_params": {"total_timesteps": 256},
            "risk_config": {"policy_yaml": str(RISK_POLICY)},
            "policy": "tiny",
            "store": str(tmp_path / "bundles"),
            "drafts": str(tmp_path / "drafts"),
            "tracking": {"tensorboard": None},
            **sections,
        }

    return make
