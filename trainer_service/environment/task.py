"""What all copies of a trading environment share: market, rules, spaces, and where episodes lie."""

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tradewind.errors import InvalidInputError, MarketDataError
from tradewind.market import (
    BarSeries,
    FeaturePipeline,
    FeatureSpec,
    TradingTerms,
    load_sample,
    series_of,
)
from tradewind.market.bar_conditions import bar_conditions, check_instruments
from tradewind.market.bars import FloatArray
from tradewind.market.group_runner import check_groups
from tradewind.market.jumps import warn_of_jumps
from tradewind.market.volume import average_daily_volumes
from trainer_service.environment.config import EnvironmentConfig
from trainer_service.environment.kernels import Calendar, Market, TradingRules
from trainer_service.environment.reward import Reward, RewardHistory, check_reward_function

__all__ = ["TradingTask"]

_NS_PER_SECOND: Final = 1_000_000_000


class TradingTask:
    """The bars of one symbol or several made ready for episodes.

    Args:
        bars: What to trade; by default the embedded sample of BTC.
        config: Costs, episodes and reward.
        feature_spec: What an observation is made of; by default for bars of this length.

    Attributes:
        bars: The bars.
        config: The settings.
        feature_spec: The specification, which each symbol's part of an observation follows.
        symbols: What is traded, in order.
        market: Prices and features.
        conditions: What venues ask and take, as `step_account` has it.
        calendar: Times and volumes.
        periods_per_year: Bars in a year of their market.
        rules: The settings as a kernel reads them.
        action_space: Space of one action.
        observation_space: Space of one observation.
        observation_size: How many components it has.
        reward: A reward that is none of the compiled step.

    Raises:
        MarketDataError: The bars are too few, or not those the specification or an instrument is
            for.
        InvalidInputError: Discrete actions are to trade several symbols, or there are instruments
            of another number of symbols.
        ComponentError: A feature group or the reward fails, or a group is too slow.
    """

    def __init__(
        self,
        bars: BarSeries | None,
        config: EnvironmentConfig | None,
        feature_spec: FeatureSpec | None,
    ) -> None:
        self.bars = load_sample() if bars is None else bars
        self.config = config or EnvironmentConfig()
        spec = feature_spec or FeatureSpec(bar_seconds=self.bars.interval_ns / 1e9)
        self.feature_spec = spec.of_market(self.bars.market.name) if spec.groups else spec
        series = series_of(self.bars)
        self.symbols = tuple(each.symbol for each in series)
        if len(series) > 1 and self.config.actions != "continuous":
            raise InvalidInputError(
                f"several symbols ({self.symbol}) take continuous actions: "
                "set actions to continuous"
            )
        lookback, shortest_episode = self.feature_spec.lookback, self.config.episode_bars or 1
        self._first_start = lookback - 1
        self._last_start = len(self.bars) - 1 - shortest_episode
        if self._last_start < self._first_start:
            raise MarketDataError(
                f"{len(self.bars)} bars of {self.symbol} are too few: {lookback} for the first "
                f"observation and {shortest_episode} for an episode (environment.episode_bars; "
                f"null takes all there are) make {lookback + shortest_episode}"
            )
        check_groups(self.feature_spec.groups)
        self.reward = self.config.reward if isinstance(self.config.reward, Reward) else None
        if self.reward is not None:
            check_reward_function(self.reward)
        for each in series:
            # To whoever made the environment.
            warn_of_jumps(each, self.config.max_jump, stacklevel=3)
        check_instruments(series, self.config, stacklevel=3)
        self.periods_per_year = self.bars.periods_per_year
        self.market = Market(
            open=np.column_stack([each.traded(each.open) for each in series]),
            close=np.column_stack([each.traded(each.close) for each in series]),
            features=np.ascontiguousarray(
                np.hstack([FeaturePipeline(self.feature_spec).transform(each) for each in series])
            ),
        )
        self.conditions = bar_conditions(series, self.config)
        volumes = np.column_stack([average_daily_volumes(each) for each in series])
        self.calendar = Calendar(
            open_seconds=self.bars.timestamps_ns / _NS_PER_SECOND,
            close_seconds=self.bars.close_times_ns / _NS_PER_SECOND,
            first_of_day=_first_bar_of_day(self.bars),
            average_daily_volumes=np.where(volumes > 0.0, volumes, np.nan),
        )
        self.rules = _trading_rules(self.config, self.feature_spec)
        # The names that it counts are put together anew each time.
        self.observation_size = len(series) * self.feature_spec.observation_size
        self.action_space = _action_space(self.config, len(series))
        self.observation_space = spaces.Box(
            low=-self.feature_spec.clip,
            high=self.feature_spec.clip,
            shape=(self.observation_size,),
            dtype=np.float32,
        )

    @property
    def symbol(self) -> str:
        """What is traded, in one string."""
        return self.bars.symbol

    def targets(self, action: Any) -> FloatArray:
        """The positions that an action goes to, as TradingTerms says. Shape [symbols].

        Raises:
            InvalidInputError: There is no such action.
        """
        return self.config.targets(action, len(self.symbols))

    @property
    def fingerprint(self) -> tuple[str, str, str]:
        """Equal for tasks that give the same episodes."""
        return self.bars.digest, self.config.model_dump_json(), self.feature_spec.digest

    def is_of(self, fingerprint: tuple[str, str, str]) -> bool:
        """Whether a fingerprint that was kept, by an earlier release too, is that of this task."""
        bars, config, features = fingerprint
        return (
            bars == self.bars.digest
            and self.feature_spec.identity.match(features, None).same
            # What an earlier release did not know is at its default.
            and {**_as_json(EnvironmentConfig()), **json.loads(config)} == _as_json(self.config)
        )

    def reward_history(self, count: int) -> RewardHistory | None:
        """What the reward of several accounts looks at; None where the compiled step has it."""
        if self.reward is None:
            return None
        return RewardHistory(self.reward, count, self.config.reward_scale)

    def choose_start(self, options: Mapping[str, Any] | None, random: np.random.Generator) -> int:
        """The bar after which an episode starts.

        Args:
            options: Of the reset; `{"start": index}` says which.
            random: Draws it otherwise.

        Raises:
            InvalidInputError: An unknown option, or a start without room for observation and
                episode.
        """
        if not options:
            if not self.config.random_start:
                return self._first_start
            return int(random.integers(self._first_start, self._last_start + 1))
        if set(options) != {"start"}:
            raise InvalidInputError(f"the only option of reset is 'start', not {sorted(options)}")
        start = int(options["start"])
        if not self._first_start <= start <= self._last_start:
            raise InvalidInputError(
                f"start must be a bar from {self._first_start} to {self._last_start}: {start}"
            )
        return start

    def first_info(self, start: int) -> dict[str, Any]:
        """What a reset says of an episode that starts after the bar `start`."""
        held: dict[str, Any] = {"quantity": 0.0}
        if len(self.symbols) > 1:
            held = {"quantities": np.zeros(len(self.symbols))}
        return {"equity": self.config.initial_cash, **held, "start": start}

    def end_of(self, start: int) -> int:
        """The last bar of the episode that starts after the bar `start`."""
        return start + (self.config.episode_bars or len(self.bars) - 1 - start)

    def first_lengths(self, count: int, *, stagger: bool) -> NDArray[np.int64]:
        """Steps after which the first episode of each of several copies is cut short at the latest.

        With `stagger` they are spread evenly over the longest episode, so that from the first one
        on the copies end their episodes one after the other and not all at once. The first copy's
        episode is whole: one copy alone is the environment itself.

        Args:
            count: How many copies.
            stagger: False lets every copy have a whole episode.

        Returns:
            Shape [count].
        """
        longest = self.config.episode_bars or len(self.bars) - 1 - self._first_start
        rows = np.arange(count) if stagger else np.zeros(count, dtype=np.int64)
        lengths: NDArray[np.int64] = -(-longest * (count - rows) // count)
        return lengths


def _as_json(config: EnvironmentConfig) -> dict[str, Any]:
    values: dict[str, Any] = config.model_dump(mode="json")
    return values


def _action_space(terms: TradingTerms, symbol_count: int) -> spaces.Space[Any]:
    if terms.actions == "discrete":
        return spaces.Discrete(3)
    return spaces.Box(terms.lowest_action, 1.0, (symbol_count,), np.float32)


def _trading_rules(config: EnvironmentConfig, spec: FeatureSpec) -> TradingRules:
    return TradingRules(
        initial_cash=config.initial_cash,
        transaction_cost=config.transaction_cost,
        slippage=config.slippage,
        rebalance_threshold=config.rebalance_threshold,
        gross_limit=config.margin_limit,
        sized_at_close=config.sized_at == "close",
        smallest_equity=config.min_equity_fraction * config.initial_cash,
        log_reward=config.reward == "log_return",
        reward_scale=config.reward_scale,
        position_features=spec.position,
        feature_scale=spec.scale,
        feature_clip=spec.clip,
        holding_cap_bars=spec.holding_cap_bars,
    )


def _first_bar_of_day(bars: BarSeries) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """For each bar, the one whose close is the last before its trading day. Shape [n].

    As a rule a day ends with a bar, whose close is the first of the new day. Where that bar is
    missing it is the last one there is: a night belongs to the day that begins with it.
    """
    days = bars.market.trading_days(bars.close_times_ns)
    first = np.searchsorted(days, days, side="left")
    began_within = bars.market.trading_days(bars.timestamps_ns)[first] == days
    return np.where(began_within, np.maximum(first - 1, 0), first)
