"""The trading environment, for one symbol or several."""

import copy
from typing import Any, Self, TypeAlias

import gymnasium
import numpy as np
from numpy.typing import NDArray

from tradewind.errors import ConflictError, InvalidInputError
from tradewind.market import Account, BarSeries, FeatureSpec, Holdings
from tradewind.market.accounting import LAST_FILL_PRICE, LAST_TRADE_NOTIONAL, QUANTITY
from tradewind.market.bars import FloatArray
from tradewind.market.feature_kernels import ObservationArray
from tradewind.risk import Position, RiskInputs
from trainer_service.environment.config import EnvironmentConfig
from trainer_service.environment.kernels import step_account, write_observation
from trainer_service.environment.task import TradingTask

__all__ = ["IntradayTradingEnv", "StepResult"]

EnvironmentAction: TypeAlias = np.int64 | NDArray[np.float32]
"""SELL, HOLD or BUY; or the position of each symbol to go to. Shape [symbols]."""

StepResult: TypeAlias = tuple[ObservationArray, float, bool, bool, dict[str, Any]]
"""Observation, reward, terminated, truncated and info."""


class IntradayTradingEnv(gymnasium.Env[ObservationArray, EnvironmentAction]):
    """Trades at the closes of bars: one symbol, or several from one account.

    The observation after bar t is built from bars up to t and the position at its close. An action
    trades at the open of bar t + 1, worsened by slippage and paid for with the transaction cost;
    the reward is the change of equity from the close of bar t to the close of bar t + 1.

    Actions are discrete (`tradewind.constants`) or continuous, as the settings say:

    - BUY: go to a long position of `position_fraction` of equity.
    - SELL: go to a short one of that size, or flat where shorting is not allowed.
    - HOLD: keep the quantity.
    - a number from -1 to 1: go to a position of it × `position_fraction` of equity; the lowest is
      0 where shorting is not allowed. Of several symbols, each has its number; where the positions
      would add up to more than `gross_limit`, they are scaled down together.

    Several symbols take continuous actions only. Their observation is the market's part of each,
    then the position in each, in the order of the panel.

    An episode is truncated after `episode_bars` steps, and terminates when equity falls to
    `min_equity_fraction` of the initial cash.

    Args:
        bars: What to trade; by default the embedded sample of BTC.
        config: Costs, episodes and reward.
        feature_spec: What an observation is made of; by default for bars of this length.

    Attributes:
        bars: The bars.
        config: The settings.
        feature_spec: The specification.
        symbols: What is traded, in order.
        holdings: The account of the running episode; a new one after every reset.

    Raises:
        MarketDataError: The bars are too few, or not those the specification is for.
        InvalidInputError: Discrete actions are to trade several symbols.
    """

    _conditions: FloatArray | None = None  # that states of release 0.2 do not have

    def __init__(
        self,
        bars: BarSeries | None = None,
        config: EnvironmentConfig | None = None,
        feature_spec: FeatureSpec | None = None,
    ) -> None:
        self._take(TradingTask(bars, config, feature_spec))

    @classmethod
    def of_task(cls, task: TradingTask) -> "IntradayTradingEnv":
        """An environment that shares a task with others; never one of a subclass."""
        env = object.__new__(IntradayTradingEnv)
        env._take(task)
        return env

    @property
    def trading_task(self) -> TradingTask:
        """The bars made ready, and the spaces; copies on the same bars share it."""
        return self._task

    def onto(self, bars: BarSeries) -> Self:
        """A copy of this environment on other bars, with no episode running.

        A training copies the environment that it is given onto the bars before the held-out ones.
        What a subclass has of its own is copied as it is; a subclass that keeps something made
        from its bars overrides this and makes it anew.

        Args:
            bars: The bars of the copy.

        Raises:
            MarketDataError: The bars are too few, or not those the specification is for.
            TrainingError: An attribute of a subclass has a row for each bar.
        """
        return self.onto_task(TradingTask(bars, self.config, self.feature_spec))

    def onto_task(self, task: TradingTask) -> Self:
        """As `onto`, with bars that were made ready before."""
        # It looks at environments, and this is one.
        from trainer_service.environment.custom import check_attributes, shared_parts

        if task is not self._task:
            check_attributes(self)
        new = shared_parts(task)
        old = shared_parts(self._task)
        other = copy.deepcopy(self, {id(part): new[name] for name, part in old.items()})
        other._take(task)
        return other

    def _take(self, task: TradingTask) -> None:
        """Makes this an environment of a task, with no episode running."""
        self._task = task
        self.bars, self.config = task.bars, task.config
        self.feature_spec, self.symbols = task.feature_spec, task.symbols
        self.action_space, self.observation_space = task.action_space, task.observation_space
        # Looked up at every step.
        self._market, self._rules, self._calendar = task.market, task.rules, task.calendar
        self._conditions = task.conditions
        self._observation_size = task.observation_size
        IntradayTradingEnv._begin(self, self.feature_spec.lookback - 1)
        self._ended = True

    @property
    def symbol(self) -> str:
        """What is traded, in one string."""
        return self.bars.symbol

    @property
    def periods_per_year(self) -> float:
        """Bars in a year of their market."""
        return self._task.periods_per_year

    @property
    def account(self) -> Account:
        """The account of the running episode, of an environment of one symbol.

        Raises:
            ConflictError: There are several; `holdings` has them all.
        """
        if len(self.symbols) > 1:
            raise ConflictError(f"the account holds {self.symbol}: see holdings")
        return self.holdings.account(0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObservationArray, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: Seeds the generator that draws the starts.
            options: `{"start": index}` starts after the bar of that index.

        Raises:
            InvalidInputError: An unknown option, or a start without room for observation and
                episode.
        """
        super().reset(seed=seed)
        start = self._task.choose_start(options, self.np_random)
        self._begin(start)
        return IntradayTradingEnv.observe(self), self._task.first_info(start)

    def observe(self) -> ObservationArray:
        """The observation after the present bar, as the features give it."""
        observation: ObservationArray = np.empty(self._observation_size, dtype=np.float32)
        states = self.holdings.states
        write_observation(states, self._market, self._rules, self._index, observation)
        return observation

    def step(self, action: EnvironmentAction | int | float) -> StepResult:
        """Decides after the present bar and goes on to the close of the next one.

        Returns:
            Observation, reward, terminated, truncated and info: `equity` and `quantity` at the
            close, `quantity_traded`, after a trade `fill_price`, and at the end of the episode
            `final_risk_inputs`, which a vectorised environment would lose by its reset, and `costs`
            by component, in the currency of the account. Of several symbols `quantities`,
            `quantities_traded` and `fill_prices` (NaN where nothing was traded), arrays of shape
            [symbols].

        Raises:
            ConflictError: No episode is running.
            InvalidInputError: There is no such action.
            TrainingError: A reward of one's own fails, or is no finite number.
        """
        return self.step_to(self._task.targets(action))

    def step_to(self, targets: FloatArray) -> StepResult:
        """Does what `step` does, with positions in place of an action.

        Args:
            targets: Signed fractions of equity, the gross limit still to come; NaN keeps the
                quantity, which no continuous action does. Shape [symbols].

        Raises:
            ConflictError: No episode is running.
            InvalidInputError: The targets have another shape, or one is not within -1 and 1.
        """
        if self._ended:
            raise ConflictError("no episode is running: call reset() first")
        if targets.shape != (len(self.symbols),) or (np.abs(targets) > 1.0).any():
            raise InvalidInputError(
                f"targets must be {len(self.symbols)} numbers within -1 and 1, not {targets!r}"
            )
        observation: ObservationArray = np.empty(self._observation_size, dtype=np.float32)
        reward, equity, terminated = step_account(
            self.holdings.states,
            self._market,
            self._rules,
            self._index,
            targets,
            self._traded,
            observation,
            self._conditions,
        )
        if self._rewards is not None:
            reward = float(self._rewards.step(self.holdings.states[None], self._traded[None])[0])
        self._index += 1
        self._values[self._index - self._start] = equity
        info = self._record_trades(equity)
        truncated = self._index == self._end
        self._ended = terminated or truncated
        if self._ended:
            info["final_risk_inputs"] = self.risk_inputs()
            info["costs"] = self.holdings.costs_by_component
        return observation, reward, terminated, truncated, info

    def _record_trades(self, equity: float) -> dict[str, Any]:
        """Keeps the trades of a step for the risk calculators, and says what it did."""
        states, traded = self.holdings.states, self._traded
        for row in np.flatnonzero(traded):
            self._trade_seconds[self._trade_count] = self._calendar.open_seconds[self._index]
            self._trade_notionals[self._trade_count] = states[row, LAST_TRADE_NOTIONAL]
            self._trade_count += 1
        if len(self.symbols) > 1:
            return {
                "equity": equity,
                "quantities": self.holdings.quantities,
                "quantities_traded": traded.copy(),
                "fill_prices": np.where(traded != 0.0, states[:, LAST_FILL_PRICE], np.nan),
            }
        info: dict[str, Any] = {
            "equity": equity,
            "quantity": float(states[0, QUANTITY]),
            "quantity_traded": float(traded[0]),
        }
        if traded[0]:
            info["fill_price"] = float(states[0, LAST_FILL_PRICE])
        return info

    def risk_inputs(self) -> RiskInputs:
        """The running episode as the risk calculators see it, up to the close of the present bar.

        Nothing is copied: the arrays are views for reading, and stay as they are while this episode
        and later ones go on. The day is that of the market (of UTC, where it never closes), and the
        value at its last close is the first of the new one. Average daily volume is of the last
        seven days, a trading day, absent until the bars go back so far. The first trade has
        notional 0: it says that there was none before; a position of quantity 0 says that the
        account is flat. There are no order flows, and so no price changes to relate them to.
        """
        step = self._index - self._start
        now = float(self._calendar.close_seconds[self._index])
        day_start = max(int(self._calendar.first_of_day[self._index]) - self._start, 0)
        volumes = self._calendar.average_daily_volumes[self._index].tolist()
        held = zip(
            self.symbols,
            self.holdings.quantities.tolist(),
            self.holdings.mark_prices.tolist(),
            strict=True,
        )
        return RiskInputs(
            portfolio_values=self._values[: step + 1],
            timestamps=self._calendar.close_seconds[self._start : self._index + 1],
            start_of_day_value=float(self._values[day_start]),
            trade_timestamps=self._trade_seconds[: self._trade_count],
            trade_notionals=self._trade_notionals[: self._trade_count],
            capital_base=self.config.initial_cash,
            positions=tuple(Position(*position) for position in held),
            feed_timestamps=dict.fromkeys(self.symbols, now),
            now=now,
            average_daily_volumes={
                symbol: volume
                for symbol, volume in zip(self.symbols, volumes, strict=True)
                if volume > 0.0
            },
            periods_per_year=self.periods_per_year,
        )

    def _begin(self, start: int) -> None:
        """Opens the account and the records of an episode that starts after the bar `start`."""
        self._start = self._index = start
        self._end = self._task.end_of(start)
        length = self._end - start
        self.holdings = Holdings(self.config.initial_cash, self._market.close[start])
        self._traded: FloatArray = np.zeros(len(self.symbols))
        self._rewards = self._task.reward_history(1)
        if self._rewards is not None:
            self._rewards.begin(slice(None), self.config.initial_cash)
        # New arrays each time: the views that risk_inputs() gave out belong to their episode.
        self._values: FloatArray = np.empty(length + 1, dtype=np.float64)
        self._values[0] = self.holdings.equity
        # A first trade of notional 0 says that there was none so far, which is not unknown.
        room = length * len(self.symbols) + 1
        self._trade_seconds: FloatArray = np.empty(room, dtype=np.float64)
        self._trade_seconds[0] = self._calendar.open_seconds[start]
        self._trade_notionals: FloatArray = np.empty(room, dtype=np.float64)
        self._trade_notionals[0] = 0.0
        self._trade_count = 1
        self._ended = False
