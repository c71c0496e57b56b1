"""A bundle's network in fresh environments that have torch, NumPy or ONNX and nothing of ours."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.environments import make_environment
from tests.exporting import build_network
from tests.reading import numpy_reader
from tradewind.bundle import write_weights
from tradewind.market import load_sample, split_bars
from tradewind.policy import TorchScriptNetwork, declare_network, use_one_torch_thread
from trainer_service.algorithms import find_algorithm
from trainer_service.environment import IntradayTradingEnv
from trainer_service.export import CopySettings, script_policy, serialize, write_copies
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
own = ("tradewind", "trainer_service", "stable_baselines3", "gymnasium", "pandas", "numba")
for absent in (*own, *sys.argv[1].split(",")):
    assert importlib.util.find_spec(absent) is None, absent
import numpy
{load}
for folder in sys.argv[2:]:
    observations = numpy.load(f"{folder}/observations.npy")
    actions, parameters = answer(folder, observations)
    assert len(parameters) == len(observations), parameters.shape
    numpy.savez(f"{folder}/{name}.npz", actions=actions, parameters=parameters)
"""

TORCHSCRIPT = """
import torch
def answer(folder, observations):
    policy = torch.jit.load(f"{folder}/policy.pt")
    with torch.inference_mode():
        given = torch.from_numpy(observations)
        return policy(given).numpy(), policy.distribution(given).numpy()
"""

PT2 = """
import torch
def answer(folder, observations):
    policy = torch.export.load(f"{folder}/policy.pt2").module()
    with torch.inference_mode():
        return [each.numpy() for each in policy(torch.from_numpy(observations))]
"""

ONNX = """
import onnxruntime
def answer(folder, observations):
    session = onnxruntime.InferenceSession(f"{folder}/policy.onnx")
    return session.run(["action", "distribution"], {"observation": observations})
"""

SAFETENSORS = """
def answer(folder, observations):
    graph = json.load(open(f"{folder}/metadata.json"))["graph"]
    return act(graph, read_safetensors(f"{folder}/policy.safetensors"), observations)
"""

# By what reads a copy: what it needs, what must not be there, how it reads.
READERS = {
    "torchscript": (["torch", "numpy"], "onnxruntime,safetensors", TORCHSCRIPT),
    "pt2": (["torch", "numpy"], "onnxruntime,safetensors", PT2),
    "onnx": (["onnxruntime", "numpy"], "torch,safetensors", ONNX),
    "numpy": (["numpy"], "torch,onnxruntime,safetensors", SAFETENSORS),
}


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


def _write_bundle(folder: Path, model: Any, observations: NDArray[np.float32]) -> None:
    """The files of a bundle that are read here."""
    network, _ = build_network(model)
    policy_pt = serialize(script_policy(network))
    graph, weights = declare_network(TorchScriptNetwork(policy_pt), observations.shape[1:])
    files = {
        "policy.pt": policy_pt,
        "policy.safetensors": write_weights(weights),
        "metadata.json": json.dumps({"graph": graph.model_dump(mode="json")}).encode(),
        **write_copies(network, CopySettings(pt2=True, onnx=True), observations),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    np.save(folder / "observations.npy", observations)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, NDArray[Any]]]:
    """By algorithm, a folder with its network, and what the model says."""
    made = {}
    for algorithm in PARAMETERS:
        model, observations = _train(algorithm)
        folder = tmp_path_factory.mktemp(algorithm)
        _write_bundle(folder, model, observations)
        inputs = model.get_vec_normalize_env().normalize_obs(observations)
        made[algorithm] = (folder, model.predict(inputs, deterministic=True)[0])
    return made


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_network_read_without_anything_of_ours_acts_as_the_model_on_held_out_observations(
    bundles: dict[str, tuple[Path, NDArray[Any]]], tmp_path: Path, reader: str
) -> None:
    packages, absent, load = READERS[reader]
    if reader == "numpy":
        load = numpy_reader() + load
    code = PREDICT.replace("{load}", load).replace("{name}", reader)
    folders = [str(folder) for folder, _ in bundles.values()]
    finished = subprocess.run(
        [str(make_environment(tmp_path, packages)), "-I", "-c", code, absent, *folders],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    for algorithm, (folder, expected) in bundles.items():
        found = np.load(folder / f"{reader}.npz")["actions"]
        assert len(np.unique(expected)) > 1
        if algorithm == "SAC":
            np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-5)
        else:
            np.testing.assert_array_equal(found, expected)
