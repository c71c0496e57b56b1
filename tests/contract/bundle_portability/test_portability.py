"""A bundle's network in a fresh environment that has torch, numpy and nothing else of ours."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.environments import make_environment
from tests.exporting import build_network
from tradewind.market import load_sample, split_bars
from tradewind.policy import use_one_torch_thread
from trainer_service.algorithms import find_algorithm
from trainer_service.environment import IntradayTradingEnv
from trainer_service.export import script_policy, serialize
from trainer_service.training.config import JobConfig, parse_training_config
from trainer_service.training.workspace import Workspace

RISK_POLICY = Path(__file__).parents[3] / "config" / "risk_limits.yaml"
OBSERVATION_COUNT = 1_000

PARAMETERS = {
    "DQN": {"learning_starts": 100},
    "PPO": {"n_steps": 128, "batch_size": 64},
    "SAC": {"learning_starts": 900, "batch_size": 64},
}

PREDICT = """
import importlib.util, sys
for absent in ("tradewind", "trainer_service", "stable_baselines3", "gymnasium", "pandas", "numba"):
    assert importlib.util.find_spec(absent) is None, absent
import numpy, torch
for folder in sys.argv[1:]:
    policy = torch.jit.load(f"{folder}/policy.pt")
    observations = numpy.load(f"{folder}/observations.npy")
    with torch.inference_mode():
        actions = policy(torch.from_numpy(observations)).numpy()
        parameters = policy.distribution(torch.from_numpy(observations)).numpy()
    assert len(parameters) == len(observations), parameters.shape
    numpy.save(f"{folder}/actions.npy", actions)
"""


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with torch, numpy and what these require, linked from this one."""
    return make_environment(tmp_path_factory.mktemp("bare"), ["torch", "numpy"])


def _train(algorithm: str) -> tuple[Any, NDArray[np.float32]]:
    """A trained model, and observations of random trading on held-out bars."""
    use_one_torch_thread()
    values = {
        "algorithm": algorithm,
        "algo_params": PARAMETERS[algorithm],
        "training_params": {"total_timesteps": 1024, "normalize_observations": True},
        "risk_config": {"policy_yaml": RISK_POLICY},
        "environment": {"actions": "continuous" if algorithm == "SAC" else "discrete"},
    }
    config = parse_training_config(values, JobConfig)
    bars = load_sample("BTC")
    env = IntradayTradingEnv(bars, config.environment)
    workspace = Workspace.prepare(env, config)
    model = find_algorithm(algorithm).build(
        config.algo_params, workspace.training_env, seed=1, device="cpu", total_timesteps=1024
    )
    model.learn(1024)

    _, held_out = split_bars(bars, 0.2)
    whole = config.environment.model_copy(update={"episode_bars": OBSERVATION_COUNT})
    walk = IntradayTradingEnv(held_out, whole)
    walk.action_space.seed(0)
    walk.reset(seed=0)
    observations = [walk.step(walk.action_space.sample())[0] for _ in range(OBSERVATION_COUNT)]
    return model, np.stack(observations)


@pytest.fixture(scope="module")
def actions(
    bare_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """By algorithm, what the model says and what its network says in the bare environment."""
    expected, folders = {}, {}
    for algorithm in PARAMETERS:
        model, observations = _train(algorithm)
        folder = folders[algorithm] = tmp_path_factory.mktemp(algorithm)
        (folder / "policy.pt").write_bytes(serialize(script_policy(build_network(model)[0])))
        np.save(folder / "observations.npy", observations)
        inputs = model.get_vec_normalize_env().normalize_obs(observations)
        expected[algorithm], _ = model.predict(inputs, deterministic=True)
    finished = subprocess.run(
        [str(bare_python), "-I", "-c", PREDICT, *map(str, folders.values())],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return {
        algorithm: (expected[algorithm], np.load(folder / "actions.npy"))
        for algorithm, folder in folders.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", PARAMETERS)
def test_network_with_torch_and_numpy_alone_acts_as_the_model_on_held_out_observations(
    actions: dict[str, tuple[NDArray[Any], NDArray[Any]]], algorithm: str
) -> None:
    expected, found = actions[algorithm]
    if algorithm == "SAC":
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-5)
    else:
        np.testing.assert_array_equal(found, expected)
    assert len(np.unique(expected)) > 1
