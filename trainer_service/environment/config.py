"""Settings of the trading environment."""

from typing import Literal

from pydantic import Field

from tradewind.settings import Settings

__all__ = ["EnvironmentConfig"]


class EnvironmentConfig(Settings):
    """How an episode trades, ends and rewards."""

    initial_cash: float = Field(default=100_000.0, gt=0.0)
    """Cash at the start of every episode, in the currency of the prices; the capital base."""

    transaction_cost: float = Field(default=0.001, ge=0.0, le=0.1)
    """Fraction of the traded notional, paid on every fill: a usual taker fee."""

    slippage: float = Field(default=0.0002, ge=0.0, le=0.1)
    """Fraction of the open price by which fills are worse."""

    allow_short: bool = False
    """Whether SELL goes short; without it, SELL goes flat."""

    position_fraction: float = Field(default=1.0, gt=0.0, le=1.0)
    """Size of the position after BUY or SELL, as a fraction of equity."""

    rebalance_threshold: float = Field(default=0.01, ge=0.0, le=0.5)
    """Trades of a smaller fraction of equity are left out, unless they close the position: a
    repeated BUY does not pay for rounding the position to size again."""

    episode_bars: int | None = Field(default=672, ge=2)
    """Steps of an episode (672 are two weeks of 30 minutes); None goes on to the last bar."""

    random_start: bool = True
    """Whether episodes start anywhere in the bars; else at the first bar with an observation."""

    min_equity_fraction: float = Field(default=0.5, ge=0.0, lt=1.0)
    """The episode terminates when equity falls to this fraction of the initial cash."""

    reward: Literal["log_return", "simple_return"] = "log_return"
    """Change of equity over the bar, costs included. Log returns add up to the episode's."""

    reward_scale: float = Field(default=100.0, gt=0.0)
    """Factor on the reward; 100 makes it percent."""
