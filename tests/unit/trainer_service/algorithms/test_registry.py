"""The registry of algorithms against the libraries whose algorithms they are."""

import inspect
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv

from tests.exporting import OWN
from tradewind.errors import TrainingError
from trainer_service.algorithms import Algorithm
from trainer_service.algorithms.parameters import PARAMETER_TYPES, REFUSED_PARAMETERS


class TinyEnv(gymnasium.Env[Any, Any]):
    """Spaces to build a model for; nothing steps it."""

    def __init__(self, action_space: spaces.Space[Any], size: int = 4) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (size,), np.float32)
        self.action_space = action_space

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        raise AssertionError("a training began")


DISCRETE: spaces.Space[Any] = spaces.Discrete(3)
CONTINUOUS = spaces.Box(-1.0, 1.0, (2,), np.float32)


def build(name: str, values: dict[str, Any], space: spaces.Space[Any], size: int = 4) -> Any:
    algorithm = OWN[name]
    parameters = algorithm.complete(values, n_envs=1, total_timesteps=500)
    env = DummyVecEnv([lambda: TinyEnv(space, size)])
    return algorithm.build(parameters, env, seed=3, device="auto", total_timesteps=500)


def test_registry_names_the_eight_algorithms() -> None:
    assert set(OWN) == {"DQN", "QR-DQN", "PPO", "A2C", "TRPO", "SAC", "TD3", "TQC"}
    assert all(algorithm.name == name for name, algorithm in OWN.items())


@pytest.mark.parametrize("algorithm", OWN.values(), ids=lambda item: item.name)
def test_algorithm_offers_every_parameter_of_its_class_or_refuses_it_with_a_reason(
    algorithm: Algorithm,
) -> None:
    signature = set(inspect.signature(algorithm.model_class).parameters)

    assert set(algorithm.parameters.model_fields) == signature - set(REFUSED_PARAMETERS)


def test_every_parameter_type_and_every_refusal_is_of_some_algorithm() -> None:
    signatures = {
        name
        for algorithm in OWN.values()
        for name in inspect.signature(algorithm.model_class).parameters
    }

    assert signatures >= {*PARAMETER_TYPES, *REFUSED_PARAMETERS}


@pytest.mark.parametrize("algorithm", OWN.values(), ids=lambda item: item.name)
def test_algorithm_with_no_parameters_takes_the_defaults_of_its_class_but_for_its_own(
    algorithm: Algorithm,
) -> None:
    completed = algorithm.complete({}, n_envs=1, total_timesteps=10_000)

    defaults = inspect.signature(algorithm.model_class).parameters
    differing = {
        name
        for name, value in completed.items()
        if name not in ("policy", "policy_kwargs") and value != defaults[name].default
    }
    assert differing == set(algorithm.defaults)


@pytest.mark.parametrize("algorithm", OWN.values(), ids=lambda item: item.name)
def test_algorithm_with_its_own_completed_parameters_changes_nothing(algorithm: Algorithm) -> None:
    completed = algorithm.complete({}, n_envs=1, total_timesteps=10_000)

    assert algorithm.complete(completed, n_envs=1, total_timesteps=10_000) == completed


def test_build_passes_parameters_to_the_model() -> None:
    values = {
        "learning_rate": 0.01,
        "train_freq": [8, "step"],
        "learning_starts": 10,
        "policy_kwargs": {"net_arch": [7], "activation_fn": "tanh"},
    }

    model = build("DQN", values, DISCRETE)

    assert (model.learning_rate, model.seed, model.train_freq.frequency) == (0.01, 3, 8)
    layers = [str(layer) for layer in model.policy.q_net.q_net]
    assert layers[0].startswith("Linear(in_features=4, out_features=7")
    assert layers[1] == "Tanh()"


def test_build_with_layers_by_network_gives_each_its_own() -> None:
    by_network = {"policy_kwargs": {"net_arch": {"pi": [5], "qf": [6, 7]}, "n_critics": 3}}

    model = build("SAC", by_network, CONTINUOUS)

    assert model.actor.latent_pi[0].out_features == 5
    assert [critic[2].out_features for critic in model.critic.q_networks] == [7, 7, 7]


@pytest.mark.parametrize("algorithm", OWN.values(), ids=lambda item: item.name)
def test_build_with_automatic_device_takes_the_gpu_if_there_is_one(algorithm: Algorithm) -> None:
    space = CONTINUOUS if "continuous" in algorithm.action_kinds else DISCRETE
    rollouts = {"n_steps": 16} if "gae_lambda" in algorithm.parameters.model_fields else {}
    if rollouts and algorithm.name != "A2C":
        rollouts["batch_size"] = 8

    model = build(algorithm.name, rollouts, space)

    assert model.device.type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (None, type(None)),
        ({"kind": "normal", "sigma": 0.2}, NormalActionNoise),
        ({"kind": "ornstein_uhlenbeck", "theta": 0.3}, OrnsteinUhlenbeckActionNoise),
    ],
)
def test_build_with_action_noise_makes_the_process_for_the_action(
    noise: dict[str, Any] | None, expected: Any
) -> None:
    model = build("TD3", {"action_noise": noise}, CONTINUOUS)

    process: Any = model.action_noise
    assert isinstance(process, expected)
    assert noise is None or process().shape == (2,)


def test_build_with_huge_buffer_allocates_what_the_run_can_fill() -> None:
    model = build("DQN", {"learning_starts": 10}, DISCRETE)

    assert model.replay_buffer.buffer_size == 501


@pytest.mark.parametrize(
    ("name", "space", "says"),
    [
        ("DQN", CONTINUOUS, "DQN takes Discrete actions, not Box"),
        ("QR-DQN", CONTINUOUS, "QR-DQN takes Discrete actions, not Box"),
        ("SAC", DISCRETE, "SAC takes Box actions, not Discrete"),
        ("TD3", DISCRETE, "TD3 takes Box actions, not Discrete"),
        ("TQC", DISCRETE, "TQC takes Box actions, not Discrete"),
        ("A2C", spaces.MultiDiscrete([2, 3]), "A2C takes Discrete or Box actions, not Multi"),
        ("A2C", spaces.Box(-np.inf, 1.0, (1,)), "within finite bounds"),
    ],
)
def test_build_with_action_space_it_cannot_take_is_refused(
    name: str, space: spaces.Space[Any], says: str
) -> None:
    with pytest.raises(TrainingError, match=says):
        build(name, {}, space)


def test_build_with_fewer_observations_than_the_extractor_looks_at_is_refused() -> None:
    values = {"policy_kwargs": {"features_extractor": {"name": "return_convolution"}}}

    with pytest.raises(TrainingError, match=r"\(4,\) do not begin with 16 returns"):
        build("DQN", values, DISCRETE)
