"""create_trainer_agent(config).run(env), from configuration to bundle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from orchestrator.agents.contract import read_contract
from tradewind.bundle import BundleStore
from tradewind.errors import (
    ExportError,
    MarketDataError,
    SettingsError,
    StoppedByRiskError,
    TrainingError,
)
from tradewind.jobs import TrainingProgress
from tradewind.market import BarPanel, Bars, FeatureSpec, TradingTerms, load_sample, split_bars
from tradewind.policy import TorchScriptPolicy
from tradewind.risk import RiskAgentV2, RiskPolicy
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.environment.task import TradingTask
from trainer_service.research.judging import evaluate_bundle
from trainer_service.training.agent import create_trainer_agent

MakeValues = Callable[..., dict[str, Any]]

WITHOUT_BARS = {"total_timesteps": 256, "held_out_fraction": None}


def make_env(bars: Bars) -> IntradayTradingEnv:
    return IntradayTradingEnv(bars, EnvironmentConfig(episode_bars=50))


@pytest.mark.parametrize("algorithm", ["DQN", "PPO", "SAC"])
def test_run_with_risk_publishes_a_bundle_that_says_where_it_comes_from(
    training_values: MakeValues, btc: Bars, risk_policy: Path, algorithm: str
) -> None:
    values = training_values(
        algorithm,
        training_params={
            "total_timesteps": 256,
            "seed": 5,
            "n_envs": 2,
            "normalize_observations": True,
            "normalize_rewards": True,
        },
        risk_config={"enabled": True, "policy_yaml": str(risk_policy), "penalty_weight": 0.3},
    )
    if algorithm == "DQN":
        values["algo_params"]["target_update_interval"] = 100
    actions: Any = "continuous" if algorithm == "SAC" else "discrete"
    env = IntradayTradingEnv(btc, EnvironmentConfig(episode_bars=50, actions=actions))

    path = create_trainer_agent(values).run(env)

    metadata = TorchScriptPolicy.load_bundle(path).metadata
    assert path.parent == Path(values["store"]) / "tiny"
    assert (metadata.name, metadata.algo) == ("tiny", f"SB3-{algorithm}")
    assert metadata.features is not None
    assert metadata.features.digest == env.feature_spec.digest
    assert metadata.features.spec == env.feature_spec.model_dump(mode="json")
    agent = RiskAgentV2.from_yaml(risk_policy)
    assert metadata.risk is not None
    assert metadata.risk.policy_digest == agent.policy_digest
    assert metadata.risk.limits["max_drawdown"] == agent.policy.limits["max_drawdown"].limit
    assert (metadata.risk.penalty_weight, metadata.risk.early_stop_threshold) == (0.3, 0.8)
    training = metadata.training
    assert (training.timesteps, training.seed, training.data_digest) == (256, 5, btc.digest)
    assert {"torch", "stable-baselines3", "numpy"} <= set(training.libraries)
    # What "auto" came to on this machine.
    asked = training.config["training_params"]
    assert isinstance(asked, dict)
    assert asked["device"] == "auto"
    assert training.device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert json.loads(json.dumps(training.config))["algo_params"]["gamma"] == 0.99
    assert metadata.slo.trials >= 1000
    assert "compiled" in metadata.slo.where


def test_run_evaluates_on_held_out_bars_beside_the_baselines(
    training_values: MakeValues, btc: Bars
) -> None:
    path = create_trainer_agent(training_values()).run(make_env(btc))

    policy = TorchScriptPolicy.load_bundle(path)
    figures = policy.metadata.evaluation
    _, held_out = split_bars(btc, 0.2)
    env = IntradayTradingEnv(
        held_out, EnvironmentConfig(episode_bars=None, random_start=False, min_equity_fraction=0.0)
    )
    observation, info = env.reset()
    start, ended = info["equity"], False
    while not ended:
        action, _ = policy.predict(observation)
        observation, _, terminated, truncated, info = env.step(np.int64(action))
        ended = terminated or truncated
    assert figures["return"] == pytest.approx(info["equity"] / start - 1.0, rel=1e-12)
    for prefix in ("", "buy_and_hold_", "always_flat_", "random_"):
        for name in ("return", "max_drawdown", "expected_shortfall_95", "trades"):
            assert f"{prefix}{name}" in figures
    assert figures["always_flat_return"] == figures["always_flat_max_drawdown"] == 0.0
    assert figures["buy_and_hold_trades"] == 1.0
    assert figures["random_return"] < 0.0


def test_run_never_shows_held_out_bars_to_training(
    training_values: MakeValues, btc: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Bars] = []
    original = TradingTask.__init__

    def record(self: TradingTask, bars: Bars, *rest: Any) -> None:
        made.append(bars)
        original(self, bars, *rest)

    env = make_env(btc)
    monkeypatch.setattr(TradingTask, "__init__", record)
    create_trainer_agent(training_values()).run(env)

    held_out, learnt_from = made
    assert learnt_from.close_times_ns[-1] <= held_out.timestamps_ns[0]
    assert (len(learnt_from), len(held_out)) == (2400, 600)


def test_run_with_the_same_seed_gives_the_same_network(
    training_values: MakeValues, btc: Bars
) -> None:
    trainer = create_trainer_agent(training_values())

    first, second = (trainer.train(make_env(btc)).metadata for _ in range(2))

    assert first.sha256 == second.sha256
    assert first.evaluation == second.evaluation
    assert (first.version, second.version) == (first.version[:-1] + "1", first.version[:-1] + "2")


def test_run_reports_every_phase_in_order(training_values: MakeValues, btc: Bars) -> None:
    reports: list[TrainingProgress] = []

    create_trainer_agent(training_values()).run(make_env(btc), reports.append)

    phases = list(dict.fromkeys(report.phase.value for report in reports))
    assert phases == ["preparing", "training", "evaluating", "exporting", "publishing"]
    assert reports[-1].timesteps_done == 256
    assert reports[-1].timesteps_total == 256


def test_run_that_stays_too_risky_is_stopped_and_publishes_nothing(
    training_values: MakeValues, btc: Bars, tmp_path: Path
) -> None:
    strict = tmp_path / "strict.yaml"
    strict.write_text("{limits: {max_drawdown: {limit: 0.00001}}, monitor_only: true}\n")
    risk = {"enabled": True, "policy_yaml": str(strict), "early_stop_patience": 100}
    values = training_values(risk_config=risk)

    with pytest.raises(StoppedByRiskError, match=r"mean risk score over 100 .* above 0\.8"):
        create_trainer_agent(values).run(make_env(btc))

    assert not BundleStore(values["store"]).root.exists()


def test_run_in_an_environment_without_bars_publishes_what_it_can(
    training_values: MakeValues,
) -> None:
    values = training_values("PPO", training_params=WITHOUT_BARS)

    path = create_trainer_agent(values).run(gymnasium.make("Pendulum-v1"))

    policy = TorchScriptPolicy.load_bundle(path)
    assert (policy.metadata.features, policy.metadata.risk) == (None, None)
    assert policy.metadata.evaluation == {}
    assert policy.metadata.training.data_digest is None
    action, _ = policy.predict(np.zeros(3, dtype=np.float32))
    assert np.shape(action) == (1,)


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({}, "no bars to hold out: set training_params.held_out_fraction to null"),
        (
            {"training_params": WITHOUT_BARS, "risk_config": {"enabled": True}},
            "no account for the risk calculators: set risk_config.enabled to false",
        ),
        (
            {"training_params": {**WITHOUT_BARS, "n_envs": 2}},
            "cannot be copied: set training_params.n_envs to 1",
        ),
    ],
)
def test_run_in_an_environment_without_bars_refuses_what_needs_them(
    training_values: MakeValues, risk_policy: Path, sections: dict[str, Any], says: str
) -> None:
    values = training_values(**sections)
    values["risk_config"]["policy_yaml"] = str(risk_policy)

    with pytest.raises(TrainingError, match=says):
        create_trainer_agent(values).run(gymnasium.make("CartPole-v1"))


def test_run_with_several_symbols_publishes_a_policy_that_is_judged_on_those_alone(
    training_values: MakeValues, risk_policy: Path
) -> None:
    samples = [load_sample(symbol) for symbol in ("BTC", "ETH", "XRP")]
    panel = BarPanel.align(samples).slice(10_000, 12_000)
    config = EnvironmentConfig(episode_bars=50, actions="continuous", allow_short=True)
    risk = {"enabled": True, "policy_yaml": str(risk_policy)}
    values = training_values("PPO", risk_config=risk, evaluation={"resamples": 100})

    path = create_trainer_agent(values).run(IntradayTradingEnv(panel, config))

    policy = TorchScriptPolicy.load_bundle(path)
    assert policy.metadata.features is not None
    assert policy.metadata.features.symbols == ("BTC", "ETH", "XRP")
    assert policy.metadata.training.data_digest == panel.digest
    size = policy.metadata.obs_space.shape[0]
    assert size == 3 * FeatureSpec().observation_size
    action, _ = policy.predict(np.zeros(size, dtype=np.float32))
    assert np.shape(action) == (3,)
    assert b"the position in each symbol" in (path / "report.html").read_bytes()

    held_out = split_bars(panel, 0.2)[1]
    policy_yaml = RiskPolicy.from_yaml(risk_policy)
    again = evaluate_bundle(path, held_out, policy_yaml).figures
    assert again["return"] == policy.metadata.evaluation["return"]
    assert again["buy_and_hold_trades"] == 3.0
    for other in (split_bars(samples[0], 0.2)[1], BarPanel(held_out.series[::-1])):
        with pytest.raises(MarketDataError, match="trades BTC, ETH, XRP, not"):
            evaluate_bundle(path, other, policy_yaml)
    contract = read_contract((path / "metadata.json").read_text())
    assert (contract.symbols, contract.observation_size) == (("BTC", "ETH", "XRP"), size)
    assert contract.terms == TradingTerms(actions="continuous", allow_short=True)


class RaisingEnv(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return np.zeros(3, dtype=np.float32), {}

    def step(self, _action: Any) -> Any:
        raise ZeroDivisionError("the market is closed")


def test_run_in_an_environment_that_raises_ends_with_its_error_and_publishes_nothing(
    training_values: MakeValues,
) -> None:
    values = training_values("PPO", training_params=WITHOUT_BARS)

    with pytest.raises(ZeroDivisionError, match="the market is closed"):
        create_trainer_agent(values).run(RaisingEnv())

    assert not BundleStore(values["store"]).root.exists()


def test_run_with_action_space_the_algorithm_cannot_take_is_refused(
    training_values: MakeValues,
) -> None:
    values = training_values("DQN", training_params=WITHOUT_BARS)

    with pytest.raises(TrainingError, match="DQN takes Discrete actions"):
        create_trainer_agent(values).run(gymnasium.make("Pendulum-v1"))


class DictEnv(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float64)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        raise AssertionError("a training began that cannot end in a bundle")


def test_run_that_no_bundle_could_hold_is_refused_before_training(
    training_values: MakeValues,
) -> None:
    values = training_values("DQN", training_params=WITHOUT_BARS)

    with pytest.raises(ExportError, match="needs Box observations of float32"):
        create_trainer_agent(values).run(DictEnv())


def test_run_with_too_few_bars_says_how_many_it_takes(
    training_values: MakeValues, btc: Bars
) -> None:
    env = IntradayTradingEnv(btc.slice(0, 400), EnvironmentConfig(episode_bars=300))

    with pytest.raises(MarketDataError, match=r"320 bars of BTC are too few|80 bars of BTC"):
        create_trainer_agent(training_values()).run(env)


def test_create_trainer_agent_with_unknown_key_is_refused(training_values: MakeValues) -> None:
    with pytest.raises(SettingsError, match="environment: "):
        create_trainer_agent(training_values(environment={}))


def test_create_trainer_agent_takes_a_config_object(training_values: MakeValues) -> None:
    trainer = create_trainer_agent(training_values())

    assert create_trainer_agent(trainer.config).config == trainer.config
