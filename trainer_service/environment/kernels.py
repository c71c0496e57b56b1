"""One step of the trading environment as one compiled call."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tradewind.kernels.compiled import compiled
from tradewind.market.accounting import BARS_HELD, EQUITY, exposure, unrealized_return
from tradewind.market.bars import FloatArray
from tradewind.market.feature_kernels import (
    POSITION_SIZE,
    ObservationArray,
    write_position_row,
)
from tradewind.market.holdings import close_holdings, fill_holdings, trade_on_conditions

__all__ = [
    "RUIN_RATIO",
    "Calendar",
    "Market",
    "TradingRules",
    "step_account",
    "write_observation",
]

RUIN_RATIO = 1e-4


class Market(NamedTuple):
    """The bars of s symbols as a step needs them.

    Attributes:
        open: Open prices. Shape [n, s].
        close: Close prices. Shape [n, s].
        features: Market part of the observation after each bar, one symbol's after another's.
            Shape [n, s × market_size].
    """

    open: FloatArray
    close: FloatArray
    features: ObservationArray


class Calendar(NamedTuple):
    """What the risk of an account needs of the bars beside prices.

    Attributes:
        open_seconds: Start of each bar, seconds since the epoch. Shape [n].
        close_seconds: Close of each bar. Shape [n].
        first_of_day: The bar at whose close the trading day starts. Shape [n].
        average_daily_volumes: Of the seven days before; NaN where unknown. Shape [n, s].
    """

    open_seconds: FloatArray
    close_seconds: FloatArray
    first_of_day: NDArray[np.int64]
    average_daily_volumes: FloatArray


class TradingRules(NamedTuple):
    """EnvironmentConfig and FeatureSpec as a step needs them."""

    initial_cash: float
    transaction_cost: float
    slippage: float
    rebalance_threshold: float
    gross_limit: float
    sized_at_close: bool
    smallest_equity: float
    log_reward: bool
    reward_scale: float
    position_features: bool
    feature_scale: float
    feature_clip: float
    holding_cap_bars: int


@compiled
def write_observation(
    states: FloatArray, market: Market, rules: TradingRules, index: int, out: ObservationArray
) -> None:
    """Writes the observation after the bar at `index`: the market's part, then the positions'.

    Shapes of `states` [s, STATE_SIZE] and of `out` [observation_size].
    """
    at = market.features.shape[1]
    for column in range(at):
        out[column] = market.features[index, column]
    if not rules.position_features:
        return
    for row in range(states.shape[0]):
        state = states[row]
        write_position_row(
            exposure(state),
            unrealized_return(state),
            state[BARS_HELD],
            rules.feature_scale,
            rules.feature_clip,
            rules.holding_cap_bars,
            out[at : at + POSITION_SIZE],
        )
        at += POSITION_SIZE


@compiled
def step_account(
    states: FloatArray,
    market: Market,
    rules: TradingRules,
    index: int,
    targets: FloatArray,
    traded: FloatArray,
    out: ObservationArray,
    conditions: FloatArray | None,
) -> tuple[float, float, bool]:
    """Goes from the close of bar `index` to the close of the next one.

    Args:
        states: State of the account, changed in place. Shape [s, STATE_SIZE].
        market: The bars.
        rules: Costs, reward and features.
        index: The bar that the decision was made on; the fill is at the open of the next.
        targets: Wanted positions as signed fractions of equity; NaN keeps a quantity. Shape [s].
        traded: Becomes the signed quantities traded. Shape [s].
        out: Becomes the observation after the next bar. Shape [observation_size].
        conditions: What venues ask and take (`tradewind.market.conditions`): of each bar, or one
            for all of them; None where there are none. Shape [n or 1, CONDITION_COUNT, s].

    Returns:
        Reward, equity, and whether the equity has fallen too low.
    """
    before: float = states[0, EQUITY]
    if conditions is None:  # then numba compiles nothing of what follows
        fill_holdings(
            states,
            targets,
            rules.gross_limit,
            market.close[index] if rules.sized_at_close else market.open[index + 1],
            market.open[index + 1],
            rules.transaction_cost,
            rules.slippage,
            rules.rebalance_threshold,
            traded,
        )
    else:
        trade_on_conditions(
            states,
            targets,
            rules.gross_limit,
            market.close[index],
            rules.sized_at_close,
            market.open[index + 1],
            market.close[index + 1],
            rules.slippage,
            rules.rebalance_threshold,
            traded,
            conditions[min(index + 1, conditions.shape[0] - 1)],
        )
    close_holdings(states, market.close[index + 1])
    write_observation(states, market, rules, index + 1, out)
    equity: float = states[0, EQUITY]
    ratio = equity / before
    # More than everything can only be lost short; it counts as losing all but RUIN_RATIO.
    growth = math.log(max(ratio, RUIN_RATIO)) if rules.log_reward else ratio - 1.0
    return growth * rules.reward_scale, equity, equity <= rules.smallest_equity
