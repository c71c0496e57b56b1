"""Where a training happens: the bars it learns from, and those it never sees."""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import gymnasium
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from tradewind.errors import TrainingError
from tradewind.market import BarPanel, BarSeries, load_bars, load_sample, split_bars
from tradewind.risk import ProductionRiskAdvisor, RiskPolicy
from tradewind.risk.periods import check_periods, window_doubts
from trainer_service.config import JobConfig, TrainingConfig
from trainer_service.environment import IntradayTradingEnv, VectorizedTradingEnv

__all__ = ["Env", "Workspace", "held_out_episode", "hold_against_bars", "make_environment"]

_logger = logging.getLogger(__name__)

Env = gymnasium.Env[Any, Any]
# What gymnasium.make adds: they check calls and change nothing.
_TRANSPARENT_WRAPPERS = (OrderEnforcing, PassiveEnvChecker)


@dataclass(frozen=True, eq=False)
class Workspace:
    """Environments of one training.

    Attributes:
        env: The environment as given.
        training_env: What the model learns in.
        trading_env: The environment as given, None when it is not one of ours.
        held_out_env: One episode over the held-out bars, None when nothing is held out.
    """

    env: Env
    training_env: VecEnv
    trading_env: IntradayTradingEnv | None
    held_out_env: IntradayTradingEnv | None

    @classmethod
    def prepare(cls, env: Env, config: TrainingConfig) -> Self:
        """Splits the bars of an environment and copies it onto each part.

        Raises:
            TrainingError: The configuration asks for what the environment cannot give.
            MarketDataError: A part of the bars is too short for an episode.
        """
        trading_env = _trading_env(env)
        if trading_env is None:
            _refuse_without_bars(env, config)
            monitored = DummyVecEnv([partial(Monitor, env)])
            return cls(env, _normalize(monitored, config), None, None)
        bars, settings, spec = trading_env.bars, trading_env.config, trading_env.feature_spec
        training = config.training_params
        held_out_env = None
        if training.held_out_fraction is not None:
            bars, held_out = split_bars(bars, training.held_out_fraction)
            held_out_env = held_out_episode(trading_env, held_out)
        risk = config.risk_config
        hold_against_bars(RiskPolicy.from_yaml(risk.policy_yaml), bars)
        assert training.n_envs is not None, "parse_training_config has chosen it"
        training_env = VectorizedTradingEnv(
            bars,
            settings,
            spec,
            n_envs=training.n_envs,
            risk=ProductionRiskAdvisor(risk.policy_yaml) if risk.enabled else None,
        )
        return cls(env, _normalize(training_env, config), trading_env, held_out_env)

    @property
    def bars(self) -> BarSeries | None:
        """All of the bars; None for an environment that is not made of bars."""
        return None if self.trading_env is None else self.trading_env.bars


def hold_against_bars(policy: RiskPolicy, bars: BarSeries) -> None:
    """Refuses a risk policy for bars of other years, and says what it cannot know of these.

    Raises:
        RiskPolicyError: It states another number of bars in a year.
    """
    check_periods(policy, bars.periods_per_year, bars.market.name)
    if bars.market.said:
        _logger.info("market of %s: %s", bars.symbol, bars.market.said)
    for doubt in window_doubts(policy, bars.interval_ns / 1e9):
        _logger.warning("risk policy: %s", doubt)


def held_out_episode(env: IntradayTradingEnv, bars: BarSeries) -> IntradayTradingEnv:
    """Copies an environment onto held-out bars: one episode over all of them, whatever is lost."""
    whole = {"episode_bars": None, "random_start": False, "min_equity_fraction": 0.0}
    return IntradayTradingEnv(bars, env.config.model_copy(update=whole), env.feature_spec)


def make_environment(config: JobConfig) -> IntradayTradingEnv:
    """Makes the environment that a job names.

    Raises:
        MarketDataError: The bars cannot be read, are too few, or have none in common.
    """
    data = config.data
    bars: BarSeries
    if data.paths:
        bars = BarPanel.align(
            [load_bars(data.paths[name], name, market=data.market) for name in data.symbols]
        )
    elif data.symbols:
        bars = BarPanel.align([load_sample(name) for name in data.symbols])
    elif data.path is not None:
        bars = load_bars(data.path, data.symbol, market=data.market)
    else:
        assert data.symbol is not None
        bars = load_sample(data.symbol)
    return IntradayTradingEnv(bars, config.environment, config.features)


def _trading_env(env: Env) -> IntradayTradingEnv | None:
    inner = env
    while isinstance(inner, _TRANSPARENT_WRAPPERS):
        inner = inner.env
    if isinstance(inner, IntradayTradingEnv):
        return inner
    if isinstance(env.unwrapped, IntradayTradingEnv):
        raise TrainingError(
            f"an IntradayTradingEnv is copied for training, which would lose its wrappers: {env}"
        )
    return None


def _refuse_without_bars(env: Env, config: TrainingConfig) -> None:
    training = config.training_params
    if config.risk_config.enabled:
        raise TrainingError(
            f"{env} has no account for the risk calculators: "
            "set risk_config.enabled to false, or train in an IntradayTradingEnv"
        )
    if training.held_out_fraction is not None:
        raise TrainingError(
            f"{env} has no bars to hold out: "
            "set training_params.held_out_fraction to null, or train in an IntradayTradingEnv"
        )
    if training.n_envs != 1:
        raise TrainingError(
            f"{env} cannot be copied: "
            "set training_params.n_envs to 1, or train in an IntradayTradingEnv"
        )


def _normalize(env: VecEnv, config: TrainingConfig) -> VecEnv:
    training = config.training_params
    if not training.normalize_observations and not training.normalize_rewards:
        return env
    return VecNormalize(
        env,
        norm_obs=training.normalize_observations,
        norm_reward=training.normalize_rewards,
        clip_obs=training.clip_observations,
        clip_reward=training.clip_rewards,
        gamma=config.algo_params["gamma"],
    )
