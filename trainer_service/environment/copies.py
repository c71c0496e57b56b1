"""One step of many copies of the trading environment as one compiled call."""

from math import isnan
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tradewind.compiled import compiled
from tradewind.market.accounting import (
    EQUITY,
    LAST_TRADE_NOTIONAL,
    MARK_PRICE,
    QUANTITY,
    STATE_SIZE,
    open_account,
)
from tradewind.market.bars import FloatArray
from tradewind.market.feature_kernels import ObservationArray
from tradewind.risk import BatchBar
from trainer_service.environment.kernels import (
    Calendar,
    Market,
    TradingRules,
    step_account,
    write_observation,
)

__all__ = ["Copies", "begin_copies", "observe_copies", "step_copies"]


class Copies(NamedTuple):
    """Where n copies of an environment stand.

    Attributes:
        states: State vector of each account. Shape [n, STATE_SIZE].
        at: The present bar. Shape [n].
        start: The bar after which the episode started. Shape [n].
        end: The last bar of the episode. Shape [n].
        episode_return: Sum of the episode's rewards. Shape [n].
        start_of_day_value: Equity at the first close of the present UTC day. Shape [n].
    """

    states: FloatArray
    at: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    episode_return: FloatArray
    start_of_day_value: FloatArray

    @classmethod
    def zeros(cls, count: int) -> Self:
        """Room for `count` copies."""
        return cls(
            states=np.zeros((count, STATE_SIZE)),
            at=np.zeros(count, dtype=np.int64),
            start=np.zeros(count, dtype=np.int64),
            end=np.zeros(count, dtype=np.int64),
            episode_return=np.zeros(count),
            start_of_day_value=np.zeros(count),
        )


@compiled
def begin_copies(
    copies: Copies,
    market: Market,
    calendar: Calendar,
    rules: TradingRules,
    rows: NDArray[np.int64],
    bar: BatchBar,
    observations: ObservationArray,
) -> None:
    """Opens the accounts of copies whose `start` and `end` have been set.

    Args:
        copies: The copies.
        market: The bars.
        calendar: Times and volumes of the bars.
        rules: Cash and features.
        rows: Which copies. Shape [k].
        bar: Becomes the first bar of their accounts, in their rows.
        observations: Becomes their first observation. Shape [n, observation_size].
    """
    for row in rows:
        state, index = copies.states[row], copies.start[row]
        open_account(state, rules.initial_cash, market.close[index])
        copies.at[row] = index
        copies.episode_return[row] = 0.0
        copies.start_of_day_value[row] = rules.initial_cash
        _write_bar(copies, calendar, row, 0.0, bar)
        write_observation(state, market, rules, index, observations[row])


@compiled
def observe_copies(
    copies: Copies, market: Market, rules: TradingRules, observations: ObservationArray
) -> None:
    """Writes the present observation of every copy. Shape [n, observation_size]."""
    for row in range(copies.at.size):
        write_observation(copies.states[row], market, rules, copies.at[row], observations[row])


@compiled
def step_copies(
    copies: Copies,
    market: Market,
    calendar: Calendar,
    rules: TradingRules,
    targets: FloatArray,
    bar: BatchBar,
    observations: ObservationArray,
    rewards: NDArray[np.float32],
    terminated: NDArray[np.bool_],
    dones: NDArray[np.bool_],
) -> int:
    """Takes every copy to its next bar.

    Args:
        copies: The copies; none may be at its end.
        market: The bars.
        calendar: Times and volumes of the bars.
        rules: Costs, reward and features.
        targets: Wanted position as a signed fraction of equity; NaN keeps the quantity. Shape [n].
        bar: Becomes the accounts' bar.
        observations: Becomes the next observations. Shape [n, observation_size].
        rewards: Shape [n].
        terminated: Whether the equity has fallen too low. Shape [n].
        dones: Whether the episode has ended, terminated or truncated. Shape [n].

    Returns:
        How many episodes have ended.
    """
    ended = 0
    for row in range(targets.size):
        state, target = copies.states[row], targets[row]
        keeps = isnan(target)
        reward, equity, quantity, terminates = step_account(
            state,
            market,
            rules,
            copies.at[row],
            not keeps,
            0.0 if keeps else target,
            observations[row],
        )
        index = copies.at[row] + 1
        copies.at[row] = index
        copies.episode_return[row] += reward
        if calendar.first_of_day[index] == index:
            copies.start_of_day_value[row] = equity
        _write_bar(
            copies, calendar, row, state[LAST_TRADE_NOTIONAL] if quantity != 0.0 else 0.0, bar
        )
        rewards[row] = reward
        terminated[row] = terminates
        dones[row] = terminates or index == copies.end[row]
        ended += dones[row]
    return ended


@compiled
def _write_bar(copies: Copies, calendar: Calendar, row: int, traded: float, bar: BatchBar) -> None:
    state, index = copies.states[row], copies.at[row]
    bar.portfolio_values[row] = state[EQUITY]
    bar.timestamps[row] = calendar.close_seconds[index]
    bar.start_of_day_values[row] = copies.start_of_day_value[row]
    bar.trade_timestamps[row] = calendar.open_seconds[index]
    bar.trade_notionals[row, 0] = traded
    bar.quantities[row, 0] = state[QUANTITY]
    bar.prices[row, 0] = state[MARK_PRICE]
    bar.average_daily_volumes[row, 0] = calendar.average_daily_volumes[index]
