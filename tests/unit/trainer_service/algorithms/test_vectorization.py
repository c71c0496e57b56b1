"""How many environments an algorithm gets when nothing is said, and which defaults with them."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.exporting import OWN
from tradewind.errors import SettingsError
from trainer_service.training.config import TrainingConfig, parse_training_config

LONG = 1_000_000


@pytest.mark.parametrize("name", OWN)
def test_vectorize_with_a_long_run_gives_the_defaults_of_many_environments(name: str) -> None:
    algorithm = OWN[name]
    n_envs, parameters = algorithm.vectorize({}, LONG)
    assert n_envs == algorithm.vectorization.n_envs > 1
    for parameter, value in algorithm.vectorization.defaults.items():
        assert parameters[parameter] == value
    assert algorithm.complete(parameters, n_envs, LONG) == parameters


@pytest.mark.parametrize("name", OWN)
def test_vectorize_with_a_short_run_gives_one_environment_and_the_librarys_defaults(
    name: str,
) -> None:
    algorithm = OWN[name]
    steps = algorithm.vectorization.shortest_run - 1
    assert algorithm.vectorize({}, steps) == (1, algorithm.complete({}, 1, steps))


def test_vectorize_with_parameters_given_keeps_them() -> None:
    n_envs, parameters = OWN["PPO"].vectorize({"n_steps": 256, "gamma": 0.9}, LONG)
    assert (n_envs, parameters["n_steps"], parameters["gamma"]) == (64, 256, 0.9)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("DQN", {"train_freq": (2, "episode")}),
        ("DQN", {"target_update_interval": 4}),
        ("PPO", {"n_steps": 32_768}),
    ],
)
def test_vectorize_with_parameters_that_contradict_many_environments_gives_one(
    name: str, values: dict[str, Any]
) -> None:
    n_envs, parameters = OWN[name].vectorize(values, LONG)
    assert n_envs == 1
    assert {key: parameters[key] for key in values} == values


def test_vectorize_with_a_parameter_that_is_refused_names_it() -> None:
    with pytest.raises(SettingsError, match="algo_params.gamma"):
        OWN["DQN"].vectorize({"gamma": 2.0}, LONG)


@pytest.mark.parametrize(("given", "n_envs", "batch_size"), [(None, 64, 1_024), (8, 8, 64)])
def test_parse_with_and_without_n_envs_records_the_number_and_what_goes_with_it(
    training_values: Callable[..., dict[str, Any]], given: int | None, n_envs: int, batch_size: int
) -> None:
    training = {"total_timesteps": LONG, "n_envs": given}
    values = training_values("PPO", algo_params={}, training_params=training)
    config = parse_training_config(values, TrainingConfig)
    assert config.training_params.n_envs == n_envs
    assert config.algo_params["batch_size"] == batch_size
    again = parse_training_config(config.model_dump(), TrainingConfig)
    assert again == config
