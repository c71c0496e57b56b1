"""One step of many copies of the trading environment as one compiled call."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tradewind.kernels.compiled import compiled
from tradewind.kernels.prefetch import prefetch
from tradewind.market.accounting import (
    EQUITY,
    LAST_TRADE_NOTIONAL,
    MARK_PRICE,
    QUANTITY,
    STATE_SIZE,
)
from tradewind.market.bars import FloatArray
from tradewind.market.feature_kernels import ObservationArray
from tradewind.market.holdings import open_holdings, padded_states
from tradewind.risk import BatchBar
from trainer_service.environment.kernels import (
    Calendar,
    Market,
    TradingRules,
    step_account,
    write_observation,
)

__all__ = ["Copies", "begin_copies", "choose_targets", "observe_copies", "step_copies"]


PREFETCH_AHEAD: Final = 8
"""So many copies before its turn the bar of a copy is fetched: a fetch takes about as long."""
FLOATS_PER_LINE: Final = 16
"""Components of an observation in a cache line."""


class Copies(NamedTuple):
    """Where n copies of an environment of s symbols stand.

    Attributes:
        states: State of each account. Shape [n, s, STATE_SIZE].
        traded: Signed quantities that the last step traded. Shape [n, s].
        at: The present bar. Shape [n].
        start: The bar after which the episode started. Shape [n].
        end: The last bar of the episode. Shape [n].
        episode_return: Sum of the episode's rewards. Shape [n].
        start_of_day_value: Equity at the last close before the present day. Shape [n].
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

    @classmethod
    def of_state(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """A copy of arrays that were kept, also of a release whose accounts kept fewer figures."""
        found = cls(**{name: array.copy() for name, array in arrays.items()})
        return found._replace(states=padded_states(found.states))


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
def choose_targets(table: FloatArray, actions: NDArray[np.int64], targets: FloatArray) -> bool:
    """Looks up the target of each discrete action, unless one of them does not exist.

    Args:
        table: Target of each action. Shape [actions].
        actions: Shape [n].
        targets: Becomes the target of each copy. Shape [n, 1].

    Returns:
        Whether every action exists; if not, nothing was written.
    """
    for row in range(actions.size):
        if not 0 <= actions[row] < table.size:
            return False
    for row in range(actions.size):
        targets[row, 0] = table[actions[row]]
    return True


@compiled
def step_copies(
    states: FloatArray,
    traded: FloatArray,
    at: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    episode_return: FloatArray,
    start_of_day_value: FloatArray,
    open_prices: FloatArray,
    close_prices: FloatArray,
    features: ObservationArray,
    open_seconds: FloatArray,
    close_seconds: FloatArray,
    first_of_day: NDArray[np.int64],
    average_daily_volumes: FloatArray,
    rules: TradingRules,
    targets: FloatArray,
    portfolio_values: FloatArray,
    bar_timestamps: FloatArray,
    start_of_day_values: FloatArray,
    trade_timestamps: FloatArray,
    trade_notionals: FloatArray,
    quantities: FloatArray,
    prices: FloatArray,
    bar_volumes: FloatArray,
    observations: ObservationArray,
    rewards: NDArray[np.float32],
    terminated: NDArray[np.bool_],
    dones: NDArray[np.bool_],
    conditions: FloatArray | None,
) -> int:
    """Takes every copy to its next bar.

    The fields of Copies, Market, Calendar and BatchBar are arguments of their own, in their order:
    a tuple takes longer to cross into a kernel than its elements do.

    Args:
        states: Field of Copies, as the arrays up to start_of_day_value; none may be at its end.
        traded: Field of Copies.
        at: Field of Copies.
        start: Field of Copies.
        end: Field of Copies.
        episode_return: Field of Copies.
        start_of_day_value: Field of Copies.
        open_prices: Field of Market, as the arrays up to features.
        close_prices: Field of Market.
        features: Field of Market.
        open_seconds: Field of Calendar, as the arrays up to average_daily_volumes.
        close_seconds: Field of Calendar.
        first_of_day: Field of Calendar.
        average_daily_volumes: Field of Calendar.
        rules: Costs, reward and features.
        targets: Wanted positions as signed fractions of equity; NaN keeps a quantity.
            Shape [n, s].
        portfolio_values: Field of BatchBar, as the arrays up to bar_volumes: becomes the accounts'
            bar.
        bar_timestamps: Field of BatchBar.
        start_of_day_values: Field of BatchBar.
        trade_timestamps: Field of BatchBar.
        trade_notionals: Field of BatchBar.
        quantities: Field of BatchBar.
        prices: Field of BatchBar.
        bar_volumes: Field of BatchBar.
        observations: Becomes the next observations. Shape [n, observation_size].
        rewards: Shape [n].
        terminated: Whether the equity has fallen too low. Shape [n].
        dones: Whether the episode has ended, terminated or truncated. Shape [n].
        conditions: As of `step_account`.

    Returns:
        How many episodes have ended.
    """
    copies = Copies(states, traded, at, start, end, episode_return, start_of_day_value)
    market = Market(open_prices, close_prices, features)
    calendar = Calendar(open_seconds, close_seconds, first_of_day, average_daily_volumes)
    bar = BatchBar(
        portfolio_values,
        bar_timestamps,
        start_of_day_values,
        trade_timestamps,
        trade_notionals,
        quantities,
        prices,
        bar_volumes,
    )
    ended, count = 0, at.size
    for row in range(min(PREFETCH_AHEAD, count)):
        _prefetch_bar(market, calendar, at[row] + 1)
    for row in range(count):
        if row + PREFETCH_AHEAD < count:
            _prefetch_bar(market, calendar, at[row + PREFETCH_AHEAD] + 1)
        before = states[row, 0, EQUITY]
        reward, equity, terminates = step_account(
            states[row],
            market,
            rules,
            at[row],
            targets[row],
            traded[row],
            observations[row],
            conditions,
        )
        index = at[row] + 1
        at[row] = index
        episode_return[row] += reward
        if first_of_day[index] >= index - 1:
            start_of_day_value[row] = equity if first_of_day[index] == index else before
        _write_bar(copies, calendar, row, bar)
        rewards[row] = reward
        terminated[row] = terminates
        dones[row] = terminates or index == end[row]
        ended += dones[row]
    return ended


@compiled
def _prefetch_bar(market: Market, calendar: Calendar, index: int) -> None:
    """Has a bar fetched: the copies stand at random bars, each in a few cache lines of its own."""
    prefetch(market.open, index)
    prefetch(market.close, index)
    row = market.features[index]
    for column in range(0, row.size, FLOATS_PER_LINE):
        prefetch(row, column)
    prefetch(row, row.size - 1)
    prefetch(calendar.open_seconds, index)
    prefetch(calendar.close_seconds, index)
    prefetch(calendar.first_of_day, index)
    prefetch(calendar.average_daily_volumes, index)


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
