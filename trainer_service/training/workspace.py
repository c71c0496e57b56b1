"""Where a training happens: the bars it learns from, and those it never sees."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from tradewind.errors import ComponentError, FieldViolation, TrainingError
from tradewind.market import (
    BarPanel,
    Bars,
    BarSeries,
    load_bars,
    load_sample,
    series_of,
    split_bars,
)
from tradewind.market.agreement import refuse_contradiction
from tradewind.market.sessions import DAY_NS
from tradewind.part_options import told
from tradewind.risk import ProductionRiskAdvisor, RiskPolicy
from tradewind.risk.periods import check_periods, window_doubts
from trainer_service.environment import (
    IntradayTradingEnv,
    TradingEnvCopies,
    VectorizedTradingEnv,
)
from trainer_service.environment.custom import (
    Env,
    changed_methods,
    check_copyable,
    check_reward,
    copy_onto,
    describe_environment,
    inner_of,
)
from trainer_service.redaction import redact_bars
from trainer_service.training.config import DataConfig, JobConfig, TrainingConfig
from trainer_service.training.data_source import DataSource

__all__ = [
    "Env",
    "Workspace",
    "environment_on",
    "held_out_episode",
    "hold_against_bars",
    "make_environment",
    "trading_env_of",
]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Workspace:
    """Environments of one training.

    Attributes:
        env: The environment as given.
        training_env: What the model learns in.
        trading_env: The trading environment within the one given, None when there is none.
        held_out_env: One episode over the held-out bars, in an IntradayTradingEnv as production
            trades; None when nothing is held out.
        observations: What to compare an exported network on where nothing is held out; None has
            them recorded in the environment.
        record: What a bundle says of an environment of the user's own; None of any other.
        remarks: What whoever trains must know.
    """

    env: Env
    training_env: VecEnv
    trading_env: IntradayTradingEnv | None
    held_out_env: IntradayTradingEnv | None
    observations: NDArray[np.float32] | None = None
    record: dict[str, Any] | None = None
    remarks: tuple[str, ...] = ()

    @classmethod
    def prepare(cls, env: Env, config: TrainingConfig) -> Self:
        """Splits the bars of an environment and copies it onto each part.

        Raises:
            TrainingError: The configuration asks for what the environment cannot give.
            MarketDataError: A part of the bars is too short for an episode.
        """
        trading_env = inner_of(env)
        if trading_env is None:
            _refuse_without_bars(env, config)
            monitored = DummyVecEnv([partial(Monitor, _FiniteRewards(env))])
            return cls(env, _normalize(monitored, config), None, None)
        check_copyable(env)
        bars, settings, spec = trading_env.bars, trading_env.config, trading_env.feature_spec
        training = config.training_params
        held_out_env = None
        if training.held_out_fraction is not None:
            bars, held_out = split_bars(bars, training.held_out_fraction)
            held_out_env = held_out_episode(trading_env, held_out)
        risk = config.risk_config
        hold_against_bars(RiskPolicy.from_yaml(risk.policy_yaml), bars)
        assert training.n_envs is not None, "parse_training_config has chosen it"
        copies: dict[str, Any] = {
            "n_envs": training.n_envs,
            "risk": ProductionRiskAdvisor(risk.policy_yaml) if risk.enabled else None,
            "stagger": training.stagger_episodes,
        }
        changes = changed_methods(env)
        if not changes:
            training_env = VectorizedTradingEnv(bars, settings, spec, **copies)
            return cls(env, _normalize(training_env, config), trading_env, held_out_env)
        return cls(
            env,
            _normalize(TradingEnvCopies(env, bars, **copies), config),
            trading_env,
            held_out_env,
            record=describe_environment(env),
            remarks=(
                f"{env} changes {', '.join(changes)}: {training.n_envs} copies of it are stepped "
                "in Python, which is slower than IntradayTradingEnv's compiled step; the held-out "
                "figures are those of IntradayTradingEnv, which is what production trades",
            ),
        )

    @property
    def bars(self) -> BarSeries | None:
        """All of the bars; None for an environment that is not made of bars."""
        return None if self.trading_env is None else self.trading_env.bars


def hold_against_bars(policy: RiskPolicy, bars: BarSeries) -> None:
    """Refuses a risk policy for bars of other years, and says what it cannot know of these.

    Raises:
        RiskPolicyError: It states another number of bars in a year.
        MarketDataError: The bars are not of the market that they are said to be of.
    """
    check_periods(policy, bars.periods_per_year, bars.market.name)
    for each in series_of(bars):
        refuse_contradiction(each)
    if bars.market.said:
        _logger.info("market of %s: %s", bars.symbol, bars.market.said)
    closed_ns = bars.market.closed_before_ns(bars.timestamps_ns)
    if closed_ns.any():
        _logger.info(
            "%s: the market closed before %d of %d bars, for up to %.1f days: each such step goes "
            "from the last close to the close of the first bar after it, in production too; "
            "features.groups: [{kind: session}] tells the policy of it",
            bars.symbol,
            np.count_nonzero(closed_ns),
            len(bars),
            closed_ns.max() / DAY_NS,
        )
    for doubt in window_doubts(policy, bars.interval_ns / 1e9):
        _logger.warning("risk policy: %s", doubt)


def held_out_episode(env: IntradayTradingEnv, bars: BarSeries) -> IntradayTradingEnv:
    """Copies an environment onto held-out bars: one episode over all of them, whatever is lost."""
    # What it is worth is not what it was rewarded with.
    whole: dict[str, Any] = {"episode_bars": None, "random_start": False, "reward": "log_return"}
    whole["min_equity_fraction"] = 0.0
    return IntradayTradingEnv(bars, env.config.model_copy(update=whole), env.feature_spec)


def environment_on(env: Env, bars: BarSeries) -> Env:
    """Copies a trading environment onto other bars, with all that a subclass or wrapper changes.

    Raises:
        TrainingError: It cannot be copied.
        MarketDataError: The bars are too few.
    """
    if changed_methods(env):
        check_copyable(env)
        return copy_onto(env, bars)
    trading_env = trading_env_of(env)
    return IntradayTradingEnv(bars, trading_env.config, trading_env.feature_spec)


def trading_env_of(env: Env) -> IntradayTradingEnv:
    """The trading environment within an environment.

    Raises:
        TrainingError: There is none.
    """
    trading_env = inner_of(env)
    if trading_env is None:
        raise TrainingError(f"{env} has no bars to train and judge on: give an IntradayTradingEnv")
    return trading_env


def make_environment(config: JobConfig, *, quote_files: bool = True) -> IntradayTradingEnv:
    """Makes the environment that a job names.

    Args:
        config: The job.
        quote_files: False says of a file that does not hold bars which rows are refused, and
            nothing of what stands there.

    Raises:
        MarketDataError: The bars cannot be read, are too few, or have none in common.
        ComponentError: A source of one's own fails.
    """
    data = config.data
    bars: BarSeries
    if data.source is not None:
        bars = _from_source(data.source, quote=quote_files)
    elif data.symbols and (files := _files(data)):
        bars = BarPanel.align(
            [_load(files[name], name, data, quote=quote_files) for name in data.symbols]
        )
    elif data.symbols:
        bars = BarPanel.align([load_sample(name) for name in data.symbols])
    elif data.path is not None:
        bars = _load(data.path, data.symbol, data, quote=quote_files)
    else:
        assert data.symbol is not None
        bars = load_sample(data.symbol)
    features = None if config.features is None else config.features.made()
    return IntradayTradingEnv(bars, config.environment.made(), features)


def _files(data: DataConfig) -> dict[str, Path]:
    """The file of each of several symbols; empty where they are embedded samples."""
    return data.paths if data.path is None else dict.fromkeys(data.symbols, data.path)


def _load(path: Path, symbol: str | None, data: DataConfig, *, quote: bool) -> Bars:
    try:
        return load_bars(path, symbol, market=data.market)
    except MemoryError:
        raise
    except Exception as problem:  # a reader quotes what it trips over, whatever it raises
        if quote:
            raise
        raise redact_bars(problem, path) from None


def _from_source(source: DataSource, *, quote: bool) -> BarSeries:
    problem: Exception | None = None
    said = f"load() of {source.kind} "
    try:
        bars: object = source.load()
    except MemoryError:
        raise
    except Exception as raised:  # it is someone's own code, and may know a password
        problem = raised
        _logger.warning("data.source: %s", raised, exc_info=True)
        kind = f"{type(raised).__name__}; the log of the service has the details"
        said += f"raised {told(raised) if quote else kind}"
    else:
        if isinstance(bars, Bars | BarPanel):
            return bars
        said += f"gave {type(bars).__name__}, no tradewind.market.Bars or BarPanel"
    raise ComponentError(
        "data source is refused", [FieldViolation("data.source", said)]
    ) from problem


class _FiniteRewards(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Ends a training whose environment gives a reward that nothing can be learnt from."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        check_reward(self.env, reward)
        return observation, reward, terminated, truncated, info


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
        gamma=config.algo_params.get("gamma", 0.99),
    )
