"""The trading environment for one symbol."""

from typing import Any, TypeAlias

import gymnasium
import numpy as np
from numpy.typing import NDArray

from tradewind.errors import ConflictError
from tradewind.market import Account, Bars, FeatureSpec
from tradewind.market.bars import FloatArray
from tradewind.market.feature_kernels import ObservationArray
from tradewind.risk import Position, RiskInputs
from trainer_service.environment.config import EnvironmentConfig
from trainer_service.environment.kernels import step_account, write_observation
from trainer_service.environment.task import TradingTask

__all__ = ["IntradayTradingEnv"]

Action: TypeAlias = np.int64 | NDArray[np.float32]
"""SELL, HOLD or BUY; or the position to go to. Shape [1]."""


class IntradayTradingEnv(gymnasium.Env[ObservationArray, Action]):
    """Trades one symbol at the closes of its bars.

    The observation after bar t is built from bars up to t and the position at its close. An action
    trades at the open of bar t + 1, worsened by slippage and paid for with the transaction cost;
    the reward is the change of equity from the close of bar t to the close of bar t + 1.

    Actions are discrete (`tradewind.constants`) or continuous, as the settings say:

    - BUY: go to a long position of `position_fraction` of equity.
    - SELL: go to a short one of that size, or flat where shorting is not allowed.
    - HOLD: keep the quantity.
    - a number from -1 to 1: go to a position of it × `position_fraction` of equity; the lowest is
      0 where shorting is not allowed.

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
        account: The account of the running episode; a new one after every reset.

    Raises:
        MarketDataError: The bars are too few, or not those the specification is for.
    """

    def __init__(
        self,
        bars: Bars | None = None,
        config: EnvironmentConfig | None = None,
        feature_spec: FeatureSpec | None = None,
    ) -> None:
        self._task = TradingTask(bars, config, feature_spec)
        self.bars, self.config = self._task.bars, self._task.config
        self.feature_spec = self._task.feature_spec
        self.action_space = self._task.action_space
        self.observation_space = self._task.observation_space
        # Looked up at every step.
        self._market, self._rules = self._task.market, self._task.rules
        self._calendar = self._task.calendar
        self._observation_size = self.feature_spec.observation_size
        self._begin(self.feature_spec.lookback - 1)
        self._ended = True

    @property
    def symbol(self) -> str:
        """What is traded."""
        return self.bars.symbol

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
        observation = np.empty(self._observation_size, dtype=np.float32)
        write_observation(self.account.state, self._market, self._rules, start, observation)
        return observation, {"equity": self.account.equity, "quantity": 0.0, "start": start}

    def step(
        self, action: Action | int | float
    ) -> tuple[ObservationArray, float, bool, bool, dict[str, Any]]:
        """Decides after the present bar and goes on to the close of the next one.

        Returns:
            Observation, reward, terminated, truncated and info: `equity` and `quantity` at the
            close, `quantity_traded`, after a trade `fill_price`, and at the end of the episode
            `final_risk_inputs`, which a vectorised environment would lose by its reset.

        Raises:
            ConflictError: No episode is running.
            InvalidInputError: There is no such action.
        """
        if self._ended:
            raise ConflictError("no episode is running: call reset() first")
        target = self.config.target(action)
        observation: ObservationArray = np.empty(self._observation_size, dtype=np.float32)
        reward, equity, quantity, terminated = step_account(
            self.account.state,
            self._market,
            self._rules,
            self._index,
            target is not None,
            target or 0.0,
            observation,
        )
        self._index += 1
        step = self._index - self._start
        self._values[step] = equity
        info: dict[str, Any] = {
            "equity": equity,
            "quantity": self.account.quantity,
            "quantity_traded": quantity,
        }
        if quantity:
            info["fill_price"] = self.account.last_fill_price
            self._trade_seconds[self._trade_count] = self._calendar.open_seconds[self._index]
            self._trade_notionals[self._trade_count] = self.account.last_trade_notional
            self._trade_count += 1
        truncated = self._index == self._end
        self._ended = terminated or truncated
        if self._ended:
            info["final_risk_inputs"] = self.risk_inputs()
        return observation, reward, terminated, truncated, info

    def risk_inputs(self) -> RiskInputs:
        """The running episode as the risk calculators see it, up to the close of the present bar.

        Nothing is copied: the arrays are views for reading, and stay as they are while this episode
        and later ones go on. The day is that of UTC, and the value at midnight is the first of the
        new one. Average daily volume is that of the last seven days, absent until the bars go back
        so far. The first trade has notional 0: it says that there was none before; a position of
        quantity 0 says that the account is flat. There are no order flows, and so no price changes
        to relate them to.
        """
        step = self._index - self._start
        now = float(self._calendar.close_seconds[self._index])
        day_start = max(int(self._calendar.first_of_day[self._index]) - self._start, 0)
        average_daily_volume = float(self._calendar.average_daily_volumes[self._index])
        return RiskInputs(
            portfolio_values=self._values[: step + 1],
            timestamps=self._calendar.close_seconds[self._start : self._index + 1],
            start_of_day_value=float(self._values[day_start]),
            trade_timestamps=self._trade_seconds[: self._trade_count],
            trade_notionals=self._trade_notionals[: self._trade_count],
            capital_base=self.config.initial_cash,
            positions=(Position(self.symbol, self.account.quantity, self.account.mark_price),),
            feed_timestamps={self.symbol: now},
            now=now,
            average_daily_volumes={self.symbol: average_daily_volume}
            if average_daily_volume > 0.0
            else {},
        )

    def _begin(self, start: int) -> None:
        """Opens the account and the records of an episode that starts after the bar `start`."""
        self._start = self._index = start
        self._end = self._task.end_of(start)
        length = self._end - start
        self.account = Account(self.config.initial_cash, float(self.bars.close[start]))
        # New arrays each time: the views that risk_inputs() gave out belong to their episode.
        self._values: FloatArray = np.empty(length + 1, dtype=np.float64)
        self._values[0] = self.account.equity
        # A first trade of notional 0 says that there was none so far, which is not unknown.
        self._trade_seconds: FloatArray = np.empty(length + 1, dtype=np.float64)
        self._trade_seconds[0] = self._calendar.open_seconds[start]
        self._trade_notionals: FloatArray = np.empty(length + 1, dtype=np.float64)
        self._trade_notionals[0] = 0.0
        self._trade_count = 1
        self._ended = False
