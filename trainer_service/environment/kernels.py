"""One step of the trading environment as one compiled call."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tradewind.compiled import compiled
from tradewind.market.accounting import (
    BARS_HELD,
    EQUITY,
    close_bar,
    exposure,
    fill_toward,
    unrealized_return,
)
from tradewind.market.bars import FloatArray
from tradewind.market.feature_kernels import ObservationArray, write_position_row

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
    """The bars as a step needs them.

    Attributes:
        open: Open prices. Shape [n].
        close: Close prices. Shape [n].
        features: Market part of the observation after each bar. Shape [n, market_size].
    """

    open: FloatArray
    close: FloatArray
    features: ObservationArray


class Calendar(NamedTuple):
    """What the risk of an account needs of the bars beside prices.

    Attributes:
        open_seconds: Start of each bar, seconds since the epoch. Shape [n].
        close_seconds: Close of each bar. Shape [n].
        first_of_day: The first bar that closes on the same UTC day. Shape [n].
        average_daily_volumes: Of the seven days before; NaN where unknown. Shape [n].
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
    smallest_equity: float
    log_reward: bool
    reward_scale: float
    position_features: bool
    feature_scale: float
    feature_clip: float
    holding_cap_bars: int


@compiled
def write_observation(
    state: FloatArray, market: Market, rules: TradingRules, index: int, out: ObservationArray
) -> None:
    """Writes the observation after the bar at `index`. Shape of `out` [observation_size]."""
    market_size = market.features.shape[1]
    out[:market_size] = market.features[index]
    if rules.position_features:
        write_position_row(
            exposure(state),
            unrealized_return(state),
            state[BARS_HELD],
            rules.feature_scale,
            rules.feature_clip,
            rules.holding_cap_bars,
            out[market_size:],
        )


@compiled
def step_account(
    state: FloatArray,
    market: Market,
    rules: TradingRules,
    index: int,
    trades: bool,
    target: float,
    out: ObservationArray,
) -> tuple[float, float, float, bool]:
    """Goes from the close of bar `index` to the close of the next one.

    Args:
        state: State vector of the account, changed in place.
        market: The bars.
        rules: Costs, reward and features.
        index: The bar that the decision was made on; the fill is at the open of the next.
        trades: Whether to trade toward the target; else the quantity is kept.
        target: Wanted position as a signed fraction of equity.
        out: Becomes the observation after the next bar. Shape [observation_size].

    Returns:
        Reward, equity, signed quantity traded, and whether the equity has fallen too low.
    """
    before: float = state[EQUITY]
    quantity = 0.0
    if trades:
        quantity = fill_toward(
            state,
            target,
            market.open[index + 1],
            rules.transaction_cost,
            rules.slippage,
            rules.rebalance_threshold,
        )
    close_bar(state, market.close[index + 1])
    write_observation(state, market, rules, index + 1, out)
    equity: float = state[EQUITY]
    ratio = equity / before
    # More than everything can only be lost short; it counts as losing all but RUIN_RATIO.
    growth = math.log(max(ratio, RUIN_RATIO)) if rules.log_reward else ratio - 1.0
    return growth * rules.reward_scale, equity, quantity, equity <= rules.smallest_equity
