"""The configuration of a training: what is refused, and what it says then."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tradewind.errors import RiskPolicyError, SettingsError
from tradewind.market import SAMPLE_SYMBOLS
from trainer_service.training.config import JobConfig, TrainingConfig, parse_training_config

MakeValues = Callable[..., dict[str, Any]]

EXAMPLES = sorted((Path(__file__).parents[4] / "config" / "training").glob("*.yaml"))


@pytest.mark.parametrize(
    ("sections", "field", "says"),
    [
        (
            {"algorithm": "SARSA"},
            "algorithm",
            "there are A2C, DQN, PPO, QR-DQN, SAC, TD3, TQC, TRPO, and",
        ),
        ({"learning_rate": 0.1}, "learning_rate", "not permitted"),
        ({"algo_params": {"learning_rat": 0.1}}, "algo_params.learning_rat", "learning_rate"),
        ({"algo_params": {"use_sde": True}}, "algo_params.use_sde", "no bundle can hold"),
        ({"algo_params": {"learning_rate": 0}}, "algo_params.learning_rate", "greater than 0"),
        (
            {"algo_params": {"learning_rate": float("nan")}},
            "algo_params.learning_rate",
            "finite number",
        ),
        ({"algo_params": {"gamma": 1.5}}, "algo_params.gamma", "less than or equal to 1"),
        ({"algo_params": {"batch_size": "many"}}, "algo_params.batch_size", "valid integer"),
        ({"algo_params": {"policy": "CnnPolicy"}}, "algo_params.policy", "MlpPolicy"),
        (
            {"algo_params": {"policy_kwargs": {"net_arch": [64, 0]}}},
            "algo_params.policy_kwargs.net_arch[1]",
            "greater than 0",
        ),
        (
            {"algo_params": {"policy_kwargs": {"activation_fn": "swish"}}},
            "algo_params.policy_kwargs.activation_fn",
            "'relu'",
        ),
        (
            {"algo_params": {"learning_starts": 256}},
            "algo_params.learning_starts",
            "below total_timesteps (256)",
        ),
        (
            {"algo_params": {"learning_starts": 8, "exploration_initial_eps": 0.01}},
            "algo_params.exploration_final_eps",
            "exploration_initial_eps",
        ),
        (
            {
                "algo_params": {"learning_starts": 8, "target_update_interval": 3},
                "training_params": {"total_timesteps": 256, "n_envs": 4},
            },
            "algo_params.target_update_interval",
            "n_envs (4)",
        ),
        (
            {
                "algo_params": {"learning_starts": 8, "train_freq": [1, "episode"]},
                "training_params": {"total_timesteps": 256, "n_envs": 4},
            },
            "algo_params.train_freq",
            "n_envs is 1",
        ),
        (
            {"algorithm": "PPO", "algo_params": {"n_steps": 64, "batch_size": 48}},
            "algo_params.batch_size",
            "which is 64",
        ),
        (
            {"algorithm": "PPO", "algo_params": {"n_steps": 64, "batch_size": 1}},
            "algo_params.batch_size",
            "at least 2",
        ),
        (
            {"algorithm": "PPO", "algo_params": {}},
            "training_params.total_timesteps",
            "n_steps * n_envs (2048)",
        ),
        ({"training_params": {}}, "training_params.total_timesteps", "required"),
        (
            {"training_params": {"total_timesteps": 256, "held_out_fraction": 1.0}},
            "training_params.held_out_fraction",
            "less than 1",
        ),
        (
            {"training_params": {"total_timesteps": 256, "n_envs": 0}},
            "training_params.n_envs",
            "greater than or equal to 1",
        ),
        ({"risk_config": {"penalty_weight": -1}}, "risk_config.penalty_weight", "equal to 0"),
        ({"risk_config": {"early_stop": 0.8}}, "risk_config.early_stop", "not permitted"),
        ({"policy": "../escape"}, "policy", "pattern"),
        ({"data": {"symbol": "DOGE"}}, "data", "one of BTC, ETH, LTC, XRP, EOS"),
        ({"data": {}}, "data", "one of BTC"),
        ({"data": {"symbols": ["BTC"]}}, "data", "two or more, and different: ['BTC']"),
        ({"data": {"symbols": ["BTC", "BTC"]}}, "data", "two or more, and different"),
        ({"data": {"symbols": ["BTC", "DOGE"]}}, "data", "not ['DOGE']"),
        ({"data": {"symbol": "BTC", "symbols": ["BTC", "ETH"]}}, "data", "take the place of"),
        (
            {"data": {"symbols": ["BTC", "ETH"], "paths": {"BTC": "btc.csv"}}},
            "data",
            "a file for each of ['BTC', 'ETH']",
        ),
        (
            {"data": {"symbols": ["A", "B"], "path": "a", "paths": {"A": "a.csv", "B": "b.csv"}}},
            "data",
            "paths of path",
        ),
        ({"data": {"symbols": ["BTC", "ETH"]}}, "environment.actions", "take continuous actions"),
        ({"environment": {"gross_limit": 0.5}}, "environment", "at least position_fraction"),
        (
            {"environment": {"instruments": ["BTCC"]}},
            "environment.instruments[0]",
            "no instrument 'BTCC' in config/instruments.yaml: there are BTC, ",
        ),
        (
            {"environment": {"instruments": [{"tick": 0}]}},
            "environment.instruments[0].tick",
            "greater than 0",
        ),
        ({"environment": {"costs": {"spread": -1}}}, "environment.costs.spread", "or equal to 0"),
        ({"environment": {"leverage": 3}}, "environment.leverage", "not permitted"),
        ({"features": {"rsi_period": 1}}, "features.rsi_period", "greater than or equal to 2"),
    ],
)
def test_parse_training_config_with_bad_value_names_the_key_and_what_is_allowed(
    training_values: MakeValues, sections: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse_training_config(training_values(**sections), JobConfig)

    descriptions = {item.field: item.description for item in refusal.value.violations}
    assert field in descriptions, str(refusal.value)
    assert says in descriptions[field]


def test_parse_training_config_with_several_bad_parameters_names_each(
    training_values: MakeValues,
) -> None:
    values = training_values(algo_params={"gama": 0.9, "tau": 2.0, "batch_size": 0})

    with pytest.raises(SettingsError) as refusal:
        parse_training_config(values, TrainingConfig)

    fields = {violation.field for violation in refusal.value.violations}
    assert fields == {"algo_params.gama", "algo_params.tau", "algo_params.batch_size"}


@pytest.mark.parametrize(
    ("metric", "needs"),
    [("depth_shock", "order books"), ("kyle_lambda", "order flows"), ("net_vega", "option")],
)
def test_parse_training_config_with_a_limit_that_bars_do_not_feed_names_it(
    training_values: MakeValues, tmp_path: Path, metric: str, needs: str
) -> None:
    policy = tmp_path / "risk.yaml"
    limits = f"limits: {{max_drawdown: {{limit: 0.1}}, {metric}: {{limit: 0.1}}}}"
    policy.write_text(f"{limits}\nmonitor_only: true\n...\n")
    values = training_values(
        "PPO",
        training_params={"total_timesteps": 256, "n_envs": 2},
        risk_config={
            "enabled": True,
            "policy_yaml": str(policy),
            "lagrangian": {"constraints": {metric: 0.1, "max_drawdown": 0.1}},
        },
    )

    with pytest.raises(SettingsError) as refusal:
        parse_training_config(values, JobConfig)

    descriptions = {item.field: item.description for item in refusal.value.violations}
    assert set(descriptions) == {
        "risk_config.policy_yaml",
        f"risk_config.lagrangian.constraints.{metric}",
    }
    assert f"limits {metric}, which needs {needs}" in descriptions["risk_config.policy_yaml"]
    values["risk_config"] = {"enabled": False, "policy_yaml": str(policy)}
    parse_training_config(values, JobConfig)


def test_parse_training_config_with_missing_risk_policy_is_refused(
    training_values: MakeValues, tmp_path: Path
) -> None:
    values = training_values(risk_config={"policy_yaml": str(tmp_path / "absent.yaml")})

    with pytest.raises(RiskPolicyError, match=r"cannot read .*absent\.yaml"):
        parse_training_config(values, TrainingConfig)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_parse_training_config_with_absent_device_is_refused(training_values: MakeValues) -> None:
    values = training_values(training_params={"total_timesteps": 256, "device": "cuda"})

    with pytest.raises(SettingsError, match=r"training_params\.device: no CUDA device"):
        parse_training_config(values, TrainingConfig)


def test_parse_training_config_fills_in_the_defaults_of_the_library(
    training_values: MakeValues,
) -> None:
    config = parse_training_config(training_values(algo_params={"gamma": 0.5}), TrainingConfig)

    assert config.algo_params["gamma"] == 0.5
    assert config.algo_params["buffer_size"] == 1_000_000
    network = config.algo_params["policy_kwargs"]
    assert (network["net_arch"], network["activation_fn"]) == ((64, 64), "relu")


def test_parse_training_config_with_its_own_result_changes_nothing(
    training_values: MakeValues,
) -> None:
    config = parse_training_config(training_values("PPO"), JobConfig)

    assert parse_training_config(config.model_dump(mode="json"), JobConfig) == config


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_parse_training_config_with_shipped_example_accepts_it(
    example: Path, training_values: MakeValues
) -> None:
    values = yaml.safe_load(example.read_text())
    values["risk_config"]["policy_yaml"] = training_values()["risk_config"]["policy_yaml"]

    config = parse_training_config(values, JobConfig)

    assert config.risk_config.enabled
    assert {config.data.symbol, *config.data.symbols} - {None} <= set(SAMPLE_SYMBOLS)
