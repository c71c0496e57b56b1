"""The registry of algorithms against the library whose algorithms they are."""

import inspect
from typing import Any

import gymnasium
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from tradewind.errors import TrainingError
from trainer_service.algorithms import ALGORITHMS, Algorithm

# Owned by the trainer, without a form in JSON, or giving a policy that no bundle can hold.
NOT_OFFERED = {
    "env",
    "seed",
    "device",
    "verbose",
    "tensorboard_log",
    "_init_setup_model",
    "replay_buffer_class",
    "replay_buffer_kwargs",
    "rollout_buffer_class",
    "rollout_buffer_kwargs",
    "optimize_memory_usage",
    "use_sde",
    "sde_sample_freq",
}


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=lambda item: item.name)
def test_algorithm_offers_every_parameter_of_its_class_or_refuses_it_on_purpose(
    algorithm: Algorithm,
) -> None:
    signature = set(inspect.signature(algorithm.model_class).parameters)

    assert set(algorithm.parameters.model_fields) == signature - NOT_OFFERED


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=lambda item: item.name)
def test_algorithm_with_no_parameters_takes_the_defaults_of_its_class(
    algorithm: Algorithm,
) -> None:
    completed = algorithm.complete({}, n_envs=1, total_timesteps=10_000)

    defaults = inspect.signature(algorithm.model_class).parameters
    differing = {
        name
        for name, value in completed.items()
        if name not in ("policy", "policy_kwargs") and value != defaults[name].default
    }
    assert not differing


def test_build_passes_parameters_to_the_model() -> None:
    algorithm = ALGORITHMS["DQN"]
    values = {
        "learning_rate": 0.01,
        "train_freq": [8, "step"],
        "learning_starts": 10,
        "policy_kwargs": {"net_arch": [7], "activation_fn": "tanh"},
    }
    env = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")])
    parameters = algorithm.complete(values, n_envs=1, total_timesteps=500)

    model: Any = algorithm.build(parameters, env, seed=3, device="cpu", total_timesteps=500)

    assert model.learning_rate == 0.01
    assert model.seed == 3
    layers = [str(layer) for layer in model.policy.q_net.q_net]
    assert layers[0].startswith("Linear(in_features=4, out_features=7")
    assert layers[1] == "Tanh()"


def test_build_with_huge_buffer_allocates_what_the_run_can_fill() -> None:
    algorithm = ALGORITHMS["DQN"]
    env = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")])
    parameters = algorithm.complete({"learning_starts": 10}, n_envs=1, total_timesteps=500)

    model: Any = algorithm.build(parameters, env, seed=0, device="cpu", total_timesteps=500)

    assert model.replay_buffer.buffer_size == 501


def test_build_with_action_space_it_cannot_take_is_refused() -> None:
    algorithm = ALGORITHMS["DQN"]
    env = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")])
    parameters = algorithm.complete({}, n_envs=1, total_timesteps=500)

    with pytest.raises(TrainingError, match="DQN takes Discrete actions, not Box"):
        algorithm.build(parameters, env, seed=0, device="cpu", total_timesteps=500)
