"""RiskAwareCallback: what Stable-Baselines3 stores, when it stops, what it refuses."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from tradewind.errors import TrainingError
from tradewind.market import Bars
from tradewind.risk import ProductionRiskAdvisor, RiskAgentV2, RiskInputs
from trainer_service.callbacks import LatestMetrics, RiskAwareCallback
from trainer_service.environment import (
    EnvironmentConfig,
    IntradayTradingEnv,
    VectorizedTradingEnv,
)

# Stable-Baselines3 types the parts of its models too loosely to be used without Any.
STEPS = 96
WEIGHT = 3.0


class Recorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Keeps what the environment gave before anybody could change it."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.rewards: list[float] = []
        self.accounts: list[RiskInputs] = []

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.rewards.append(float(reward))
        self.accounts.append(self.get_wrapper_attr("risk_inputs")())
        return observation, reward, terminated, truncated, info


def make_recorders(bars: Bars, count: int, episode_bars: int) -> list[Recorder]:
    config = EnvironmentConfig(episode_bars=episode_bars)
    return [Recorder(IntradayTradingEnv(bars, config)) for _ in range(count)]


def vectorize(recorders: list[Recorder]) -> DummyVecEnv:
    makers = iter(recorders)
    return DummyVecEnv([lambda: next(makers)] * len(recorders))


def make_model(algorithm: Any, env: VecEnv, seed: int | None = None) -> Any:
    sizes: dict[str, int] = {"buffer_size": STEPS, "learning_starts": STEPS}
    if algorithm is PPO:
        sizes = {"n_steps": STEPS // env.num_envs, "batch_size": STEPS, "n_epochs": 1}
    return algorithm("MlpPolicy", env, seed=seed, device="cpu", **sizes)


def stored_rewards(model: Any) -> NDArray[np.float32]:
    """Rewards as the model learns from them. Shape [steps, environments]."""
    buffer = model.rollout_buffer if isinstance(model, PPO) else model.replay_buffer
    rewards: NDArray[np.float32] = buffer.rewards
    return rewards


def known(figure: float | None) -> float:
    assert figure is not None
    return figure


def expected_rewards(recorders: list[Recorder], policy: Path) -> NDArray[np.float64]:
    """Raw rewards minus the penalty, calculated apart from the callback."""
    agent = RiskAgentV2.from_yaml(policy)
    columns = [
        [
            reward - WEIGHT * known(agent.calculate_only(account).penalty)
            for reward, account in zip(recorder.rewards, recorder.accounts, strict=True)
        ]
        for recorder in recorders
    ]
    return np.array(columns).T


@pytest.mark.parametrize("algorithm", [DQN, PPO])
@pytest.mark.parametrize("env_count", [1, 2])
def test_callback_with_raw_rewards_makes_the_model_store_penalised_ones(
    btc: Bars, risk_policy: Path, algorithm: Any, env_count: int
) -> None:
    recorders = make_recorders(btc, env_count, episode_bars=200)
    model = make_model(algorithm, vectorize(recorders))

    model.learn(STEPS, callback=RiskAwareCallback(ProductionRiskAdvisor(risk_policy), WEIGHT))

    expected = expected_rewards(recorders, risk_policy)
    assert not np.allclose(expected, np.array([recorder.rewards for recorder in recorders]).T)
    np.testing.assert_allclose(stored_rewards(model), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("algorithm", [DQN, PPO])
def test_callback_with_normalised_rewards_penalises_before_normalisation(
    btc: Bars, risk_policy: Path, algorithm: Any
) -> None:
    recorders = make_recorders(btc, 2, episode_bars=200)
    # Fixed statistics: a deviation of 2 halves every reward.
    env = VecNormalize(vectorize(recorders), training=False, epsilon=0.0, clip_reward=100.0)
    env.ret_rms.var = np.array(4.0)
    model = make_model(algorithm, env)

    model.learn(STEPS, callback=RiskAwareCallback(ProductionRiskAdvisor(risk_policy), WEIGHT))

    expected = expected_rewards(recorders, risk_policy)
    if algorithm is PPO:
        expected = expected / 2.0
        learnt = stored_rewards(model)
    else:
        # The replay buffer keeps raw rewards and normalises them when it samples.
        sample = model.replay_buffer.sample(500, env=env).rewards.numpy()
        distances = np.abs(sample - expected.reshape(1, -1) / 2.0)
        assert distances.min(axis=1).max() < 1e-6
        learnt = stored_rewards(model)
    np.testing.assert_allclose(learnt, expected, rtol=1e-5, atol=1e-6)


def test_callback_at_the_end_of_an_episode_penalises_the_account_that_ended(
    btc: Bars, risk_policy: Path
) -> None:
    recorders = make_recorders(btc, 1, episode_bars=12)
    model = make_model(DQN, vectorize(recorders))

    model.learn(STEPS, callback=RiskAwareCallback(ProductionRiskAdvisor(risk_policy), WEIGHT))

    lengths = [len(account.portfolio_values) for account in recorders[0].accounts]
    assert lengths.count(13) == STEPS // 12
    expected = expected_rewards(recorders, risk_policy)
    np.testing.assert_allclose(stored_rewards(model), expected, rtol=1e-5, atol=1e-6)


def write_policy(path: Path, limits: str) -> Path:
    path.write_text(f"limits: {limits}\nmonitor_only: true\n...\n")
    return path


def test_callback_with_risk_always_above_the_threshold_stops_after_its_patience(
    btc: Bars, tmp_path: Path
) -> None:
    # Average drawdowns of random trading are a hundred times this limit.
    policy = write_policy(tmp_path / "risk.yaml", "{max_drawdown: {limit: 0.00001}}")
    model = make_model(DQN, vectorize(make_recorders(btc, 2, episode_bars=50)))
    callback = RiskAwareCallback(
        ProductionRiskAdvisor(policy), early_stop_threshold=0.5, early_stop_patience=60
    )

    model.learn(10_000, callback=callback)

    assert 60 <= model.num_timesteps < 90
    assert "above 0.5" in callback.stop_reason
    assert "the most used is max_drawdown: " in callback.stop_reason
    assert " of 1e-05. " in callback.stop_reason
    assert "raise risk_config.early_stop_threshold" in callback.stop_reason


def test_callback_with_patience_longer_than_an_episode_still_stops(
    btc: Bars, tmp_path: Path
) -> None:
    policy = write_policy(tmp_path / "risk.yaml", "{max_drawdown: {limit: 0.00001}}")
    model = make_model(DQN, vectorize(make_recorders(btc, 1, episode_bars=20)))
    callback = RiskAwareCallback(
        ProductionRiskAdvisor(policy), early_stop_threshold=0.5, early_stop_patience=100
    )

    model.learn(10_000, callback=callback)

    assert callback.stop_reason
    assert model.num_timesteps < 200


def test_callback_without_threshold_never_stops(btc: Bars, tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "risk.yaml", "{max_drawdown: {limit: 0.00001}}")
    model = make_model(DQN, vectorize(make_recorders(btc, 1, episode_bars=50)))
    callback = RiskAwareCallback(
        ProductionRiskAdvisor(policy), early_stop_threshold=None, early_stop_patience=10
    )

    model.learn(STEPS, callback=callback)

    assert not callback.stop_reason
    assert model.num_timesteps == STEPS


def test_callback_with_risk_below_the_threshold_does_not_stop(btc: Bars, tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "risk.yaml", "{max_drawdown: {limit: 0.9}}")
    model = make_model(DQN, vectorize(make_recorders(btc, 1, episode_bars=50)))
    callback = RiskAwareCallback(
        ProductionRiskAdvisor(policy), early_stop_threshold=0.5, early_stop_patience=10
    )

    model.learn(STEPS, callback=callback)

    assert not callback.stop_reason


def test_callback_with_limit_that_can_never_be_checked_fails_the_training(
    btc: Bars, tmp_path: Path
) -> None:
    policy = write_policy(
        tmp_path / "risk.yaml", "{max_drawdown: {limit: 0.5}, var_999: {limit: 0.1}}"
    )
    model = make_model(DQN, vectorize(make_recorders(btc, 1, episode_bars=50)))
    callback = RiskAwareCallback(ProductionRiskAdvisor(policy), early_stop_patience=80)

    with pytest.raises(TrainingError, match=r"80 steps in a row .* var_999: returns: .* needed"):
        model.learn(STEPS, callback=callback)


def test_callback_with_unknown_penalty_counts_it_and_keeps_the_reward(
    btc: Bars, tmp_path: Path
) -> None:
    policy = write_policy(tmp_path / "risk.yaml", "{var_999: {limit: 0.1}}")
    recorders = make_recorders(btc, 2, episode_bars=50)
    model = make_model(DQN, vectorize(recorders))
    metrics = LatestMetrics()
    model.set_logger(Logger(folder=None, output_formats=[metrics]))

    model.learn(STEPS, callback=RiskAwareCallback(ProductionRiskAdvisor(policy), WEIGHT))

    raw = np.array([recorder.rewards for recorder in recorders]).T
    np.testing.assert_allclose(stored_rewards(model), raw, rtol=1e-6)
    assert model.logger.name_to_value["risk/unknown_penalties"] == STEPS


def test_callback_logs_the_means_of_score_and_penalty(btc: Bars, risk_policy: Path) -> None:
    recorders = make_recorders(btc, 1, episode_bars=200)
    model = make_model(DQN, vectorize(recorders))

    model.learn(STEPS, callback=RiskAwareCallback(ProductionRiskAdvisor(risk_policy)))

    agent = RiskAgentV2.from_yaml(risk_policy)
    reports = [agent.calculate_only(account) for account in recorders[0].accounts]
    scores = [known(report.risk_score) for report in reports if not report.unchecked_limits]
    penalties = [known(report.penalty) for report in reports]
    logged = model.logger.name_to_value
    assert logged["risk/penalty"] == pytest.approx(np.mean(penalties))
    assert logged["risk/score"] == pytest.approx(np.mean(scores))
    assert logged["risk/judged_score"] == pytest.approx(np.mean(scores))


def test_callback_with_environment_without_account_is_refused(risk_policy: Path) -> None:
    env = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")])
    model = make_model(DQN, env)

    with pytest.raises(TrainingError, match=r"needs environments with risk_inputs\(\)"):
        model.learn(STEPS, callback=RiskAwareCallback(ProductionRiskAdvisor(risk_policy)))


class Forgetful(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Loses the account of an episode that ends."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        info.pop("final_risk_inputs", None)
        return observation, reward, terminated, truncated, info


def test_callback_with_lost_account_of_an_ended_episode_is_refused(
    btc: Bars, risk_policy: Path
) -> None:
    env = IntradayTradingEnv(btc, EnvironmentConfig(episode_bars=5))
    model = make_model(DQN, DummyVecEnv([lambda: Forgetful(env)]))

    with pytest.raises(TrainingError, match="final_risk_inputs"):
        model.learn(STEPS, callback=RiskAwareCallback(ProductionRiskAdvisor(risk_policy)))


def test_callback_that_cannot_reach_the_rewards_raises_instead_of_doing_nothing(
    btc: Bars, risk_policy: Path
) -> None:
    model = make_model(DQN, vectorize(make_recorders(btc, 1, episode_bars=50)))
    callback = RiskAwareCallback(ProductionRiskAdvisor(risk_policy))

    class Blind(type(callback)):  # type: ignore[misc]
        """An algorithm that hands its callback no rewards."""

        def update_locals(self, locals_: dict[str, Any]) -> None:
            super().update_locals({**locals_, "rewards": locals_["rewards"].tolist()})

    callback.__class__ = Blind

    with pytest.raises(TrainingError, match="DQN does not show its rewards"):
        model.learn(STEPS, callback=callback)


def make_vectorized(bars: Bars, policy: Path | None, count: int = 3) -> VectorizedTradingEnv:
    advisor = None if policy is None else ProductionRiskAdvisor(policy)
    config = EnvironmentConfig(episode_bars=50)
    return VectorizedTradingEnv(bars, config, n_envs=count, risk=advisor, stagger=False)


@pytest.mark.parametrize("algorithm", [DQN, PPO])
@pytest.mark.parametrize("normalize", [False, True])
def test_callback_with_a_vectorized_environment_stores_the_bits_of_one_by_one(
    btc: Bars, risk_policy: Path, algorithm: Any, normalize: bool
) -> None:
    stored, logged = [], []
    for env in (make_vectorized(btc, risk_policy), vectorize(make_recorders(btc, 3, 50))):
        model = make_model(algorithm, VecNormalize(env) if normalize else env, seed=4)
        callback = RiskAwareCallback(
            ProductionRiskAdvisor(risk_policy), WEIGHT, None, early_stop_patience=20
        )
        model.learn(STEPS, callback=callback)
        stored.append(stored_rewards(model).tobytes())
        logged.append({name: model.logger.name_to_value[name] for name in LOGGED})
    assert stored[0] == stored[1]
    assert logged[0] == pytest.approx(logged[1], rel=1e-12)


LOGGED = ("risk/score", "risk/penalty", "risk/judged_score", "risk/unknown_penalties")


def test_callback_with_a_vectorized_environment_stops_and_says_why_it_cannot_judge(
    btc: Bars, risk_policy: Path, tmp_path: Path
) -> None:
    model = make_model(DQN, make_vectorized(btc, risk_policy))
    callback = RiskAwareCallback(ProductionRiskAdvisor(risk_policy), 0.1, 1e-9, 25)
    model.learn(STEPS, callback=callback)
    assert "above 1e-09" in callback.stop_reason

    policy = write_policy(tmp_path / "risk.yaml", "{var_999: {limit: 0.1}}")
    model = make_model(DQN, make_vectorized(btc, policy))
    callback = RiskAwareCallback(ProductionRiskAdvisor(policy), early_stop_patience=30)
    with pytest.raises(TrainingError, match=r"90 steps in a row .* var_999: returns: .* needed"):
        model.learn(STEPS, callback=callback)


def test_callback_under_another_policy_than_the_environment_is_refused(
    btc: Bars, risk_policy: Path, tmp_path: Path
) -> None:
    other = write_policy(tmp_path / "risk.yaml", "{max_drawdown: {limit: 0.1}}")
    for policy, measures in ((other, "under risk policy"), (None, "no risk")):
        model = make_model(DQN, make_vectorized(btc, policy))
        with pytest.raises(TrainingError, match=f"measures {measures}.*the same policy"):
            model.learn(STEPS, callback=RiskAwareCallback(ProductionRiskAdvisor(risk_policy)))
