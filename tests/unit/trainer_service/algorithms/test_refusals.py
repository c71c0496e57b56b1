"""Hyper-parameters that cannot be, alone or together: refused before there is a job."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.torch_layers import FlattenExtractor

from tests.exporting import OWN
from tradewind.errors import SettingsError
from trainer_service.training.config import JobConfig, TrainingConfig, parse_training_config

MakeValues = Callable[..., dict[str, Any]]

REPLAY = {"learning_starts": 10, "batch_size": 16}
ROLLOUT = {"n_steps": 64, "batch_size": 32}


def kwargs(**values: Any) -> dict[str, Any]:
    return {**REPLAY, "policy_kwargs": values}


def refusals(
    name: str, values: dict[str, Any], n_envs: int = 1, steps: int = 256
) -> dict[str, str]:
    with pytest.raises(SettingsError) as refusal:
        OWN[name].complete(values, n_envs, steps)
    return {item.field.removeprefix("algo_params."): str(item) for item in refusal.value.violations}


@pytest.mark.parametrize(
    ("name", "values", "field", "says"),
    [
        ("SAC", {**REPLAY, "ent_coef": "car"}, "ent_coef", "must be 'auto', or 'auto_' and a num"),
        ("SAC", {**REPLAY, "ent_coef": "auto_0"}, "ent_coef", "number above 0"),
        ("SAC", {**REPLAY, "ent_coef": "auto_1.2.3"}, "ent_coef", "number above 0"),
        ("SAC", {**REPLAY, "target_entropy": "low"}, "target_entropy", "must be 'auto'"),
        ("PPO", {**ROLLOUT, "ent_coef": "auto"}, "ent_coef", "valid number"),
        ("TQC", {**REPLAY, "buffer_size": 9}, "buffer_size", "batch_size (16)"),
        ("TD3", {**REPLAY, "buffer_size": 16, "learning_starts": 20}, "buffer_size", "starts (20)"),
        ("TD3", {**REPLAY, "n_steps": 65}, "n_steps", "more than 64 steps in the buffer"),
        ("TD3", {**REPLAY, "gradient_steps": 0}, "gradient_steps", "nothing is learnt with 0"),
        ("TD3", {**REPLAY, "train_freq": 0}, "train_freq", "positive integer, or [integer, unit]"),
        ("TD3", {**REPLAY, "train_freq": [1, "day"]}, "train_freq", "of step or episode"),
        ("TD3", {**REPLAY, "train_freq": [1, "episode"]}, "train_freq", "only when n_envs is 1"),
        ("TD3", {**REPLAY, "action_noise": {"kind": "pink"}}, "action_noise", "'normal'"),
        ("TD3", {"learning_starts": 256}, "learning_starts", "below total_timesteps (256)"),
        (
            "TQC",
            {**kwargs(n_quantiles=5), "top_quantiles_to_drop_per_net": 5},
            "top_quantiles_to_drop_per_net",
            "below policy_kwargs.n_quantiles (5)",
        ),
        ("QR-DQN", kwargs(n_quantiles=0), "policy_kwargs.n_quantiles", "equal to 1"),
        ("QR-DQN", {**REPLAY, "target_update_interval": 2}, "target_update_interval", "envs (4)"),
        ("A2C", {"n_steps": 65}, "training_params.total_timesteps", "n_envs (260)"),
        ("TRPO", {**ROLLOUT, "batch_size": 48}, "batch_size", "which is 256"),
        ("TRPO", {**ROLLOUT, "target_kl": None}, "target_kl", "valid number"),
        ("TRPO", {**ROLLOUT, "sub_sampling_factor": 129}, "sub_sampling_factor", "2 of the 256"),
        ("PPO", {**ROLLOUT, "use_sde": True}, "use_sde", "no bundle can hold"),
        ("PPO", {**ROLLOUT, "policy": "MlpLstmPolicy"}, "policy", "'MlpPolicy'"),
        ("DQN", {**REPLAY, "seed": 3}, "seed", "set training_params.seed"),
        ("DQN", {**REPLAY, "optimize_memory_usage": True}, "optimize_memory_usage", "contradicts"),
        ("DQN", {**REPLAY, "clip_range": 0.2}, "clip_range", "unknown for DQN; allowed: batch_"),
        ("DQN", kwargs(net_arch=[10**9]), "policy_kwargs.net_arch[0]", "equal to 8192"),
        ("DQN", kwargs(n_critics=2), "policy_kwargs.n_critics", "not permitted"),
        (
            "SAC",
            kwargs(net_arch={"pi": [4], "vf": [4]}),
            "policy_kwargs.net_arch.by_network.vf",
            "",
        ),
        (
            "DQN",
            kwargs(features_extractor={"name": "resnet"}),
            "policy_kwargs.features_extractor",
            "layer_norm_mlp, return_convolution",
        ),
        (
            "DQN",
            kwargs(features_extractor={"name": "return_convolution", "kernel_size": 9}),
            "policy_kwargs.features_extractor",
            "2 kernels of 9 span 17 returns, but the window has 16",
        ),
        (
            "DQN",
            kwargs(features_extractor_class="os.system"),
            "policy_kwargs.features_extractor_class",
            "subclass of BaseFeaturesExtractor",
        ),
        (
            "DQN",
            kwargs(
                features_extractor_class=FlattenExtractor,
                features_extractor={"name": "layer_norm_mlp"},
            ),
            "policy_kwargs",
            "exclude each other",
        ),
        ("DQN", kwargs(features_extractor_kwargs={"a": 1}), "policy_kwargs", "belong to"),
    ],
)
def test_complete_with_impossible_parameters_names_the_key_and_what_is_allowed(
    name: str, values: dict[str, Any], field: str, says: str
) -> None:
    found = refusals(name, values, n_envs=4)

    assert says in found[field]


def test_complete_with_a_rollout_of_one_step_cannot_normalize_the_advantage() -> None:
    found = refusals("A2C", {"n_steps": 1, "normalize_advantage": True})

    assert "at least 2 to normalize" in found["n_steps"]


@pytest.mark.parametrize("coefficient", ["auto", "auto_0.1", "auto_1e-3", 0.0, 0.2])
def test_complete_takes_every_form_of_the_entropy_coefficient(coefficient: str | float) -> None:
    completed = OWN["SAC"].complete({"ent_coef": coefficient}, 1, 1_000)

    assert completed["ent_coef"] == coefficient


@settings(max_examples=60)
@given(
    n_steps=st.integers(1, 300),
    batch_size=st.integers(1, 300),
    n_envs=st.integers(1, 8),
    steps=st.integers(1, 1_000),
)
def test_complete_of_ppo_accepts_what_runs_whole_rollouts_of_whole_batches(
    n_steps: int, batch_size: int, n_envs: int, steps: int
) -> None:
    rollout = n_steps * n_envs
    fits = rollout % batch_size == 0 and batch_size > 1 and rollout <= steps
    values = {"n_steps": n_steps, "batch_size": batch_size}
    if fits:
        assert OWN["PPO"].complete(values, n_envs, steps)["n_steps"] == n_steps
    else:
        refusals("PPO", values, n_envs, steps)


@pytest.mark.parametrize(
    ("algorithm", "actions", "says"),
    [
        ("DQN", "continuous", "DQN takes discrete actions"),
        ("QR-DQN", "continuous", "QR-DQN takes discrete actions"),
        ("SAC", "discrete", "SAC takes continuous actions"),
        ("TD3", "discrete", "TD3 takes continuous actions"),
        ("TQC", "discrete", "TQC takes continuous actions"),
    ],
)
def test_parse_training_config_with_actions_the_algorithm_cannot_take_is_refused(
    training_values: MakeValues, algorithm: str, actions: str, says: str
) -> None:
    values = training_values(algorithm, algo_params=REPLAY, environment={"actions": actions})

    with pytest.raises(SettingsError) as refusal:
        parse_training_config(values, JobConfig)

    (violation,) = refusal.value.violations
    assert (violation.field, violation.description) == ("environment.actions", says)


def test_parse_training_config_with_a_window_that_is_not_that_of_the_features_is_refused(
    training_values: MakeValues,
) -> None:
    extractor = {"name": "return_convolution", "window": 16}
    values = training_values(
        "DQN", algo_params=kwargs(features_extractor=extractor), features={"return_count": 32}
    )

    with pytest.raises(SettingsError, match=r"extractor\.window: must be .* which is 32"):
        parse_training_config(values, JobConfig)


def test_parse_training_config_with_a_class_records_its_name(training_values: MakeValues) -> None:
    given_class = kwargs(
        features_extractor_class=FlattenExtractor, features_extractor_kwargs={"a": [1, object()]}
    )
    config = parse_training_config(training_values(algo_params=given_class), TrainingConfig)

    recorded = config.model_dump(mode="json")["algo_params"]["policy_kwargs"]

    assert config.algo_params["policy_kwargs"]["features_extractor_class"] is FlattenExtractor
    name = "stable_baselines3.common.torch_layers.FlattenExtractor"
    assert recorded["features_extractor_class"] == name
    assert recorded["features_extractor_kwargs"] == {"a": [1, "builtins.object"]}
