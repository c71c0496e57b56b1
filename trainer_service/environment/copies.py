"""One step of many copies of the trading environment as one compiled call."""

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
)
from tradewind.market.bars import FloatArray
from tradewind.market.feature_kernels import ObservationArray
from tradewind.market.holdings import open_holdings
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
    """Where n copies of an environment of s symbols stand.

    Attributes:
        states: State of each account. Shape [n, s, STATE_SIZE].
        traded: Signed quantities that the last step traded. Shape [n, s].
        at: The present bar. Shape [n].
        start: The bar after which the episode started. Shape [n].
        end: The last bar of the episode. Shape [n].
        episode_return: Sum of the episode's rewards. Shape [n].
        start_of_day_value: Equity at the first close of the present UTC day. Shape [n].
    """

    states: FloatArray
    traded: FloatArray
    at: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    episode_return: FloatArray
    start_of_day_value: FloatArray

    @classmethod
    def zeros(cls, count: int, symbol_count: int) -> Self:
        """Room for `count` copies."""
        return cls(
            states=np.zeros((count, symbol_count, STATE_SIZE)),
            traded=np.zeros((count, symbol_count)),
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
        states, index = copies.states[row], copies.start[row]
        open_holdings(states, rules.initial_cash, market.close[index])
        copies.traded[row] = 0.0
        copies.at[row] = index
        copies.episode_return[row] = 0.0
        copies.start_of_day_value[row] = rules.initial_cash
        _write_bar(copies, calendar, row, bar)
        write_observation(states, market, rules, index, observations[row])


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
        targets: Wanted positions as signed fractions of equity; NaN keeps a quantity.
            Shape [n, s].
        bar: Becomes the accounts' bar.
        observations: Becomes the next observations. Shape [n, observation_size].
        rewards: Shape [n].
        terminated: Whether the equity has fallen too low. Shape [n].
        dones: Whether the episode has ended, terminated or truncated. Shape [n].

    Returns:
        How many episodes have ended.
    """
    ended = 0
    for row in range(targets.shape[0]):
        reward, equity, terminates = step_account(
            copies.states[row],
            market,
            rules,
            copies.at[row],
            targets[row],
            copies.traded[row],
            observations[row],
        )
        index = copies.at[row] + 1
        copies.at[row] = index
        copies.episode_return[row] += reward
        if calendar.first_of_day[index] == index:
            copies.start_of_day_value[row] = equity
        _write_bar(copies, calendar, row, bar)
        rewards[row] = reward
        terminated[row] = terminates
        dones[row] = terminates or index == copies.end[row]
        ended += dones[row]
    return ended


@compiled
def _write_bar(copies: Copies, calendar: Calendar, row: int, bar: BatchBar) -> None:
    states, index = copies.states[row], copies.at[row]
    bar.portfolio_values[row] = states[0, EQUITY]
    bar.timestamps[row] = calendar.close_seconds[index]
    bar.start_of_day_values[row] = copies.start_of_day_value[row]
    bar.trade_timestamps[row] = calendar.open_seconds[index]
    for symbol in range(states.shape[0]):
        state = states[symbol]
        has_traded = copies.traded[row, symbol] != 0.0
        bar.trade_notionals[row, symbol] = state[LAST_TRADE_NOTIONAL] if has_traded else 0.0
        bar.quantities[row, symbol] = state[QUANTITY]
        bar.prices[row, symbol] = state[MARK_PRICE]
        bar.average_daily_volumes[row, symbol] = calendar.average_daily_volumes[index, symbol]
