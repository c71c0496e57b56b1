"""Settings of the trading environment."""

from typing import Final, Literal

from pydantic import Field

from tradewind.market import TradingTerms
from tradewind.market.jumps import MAX_JUMP
from tradewind.risk import RiskPolicy

__all__ = ["EnvironmentConfig", "unfed_metrics"]

_UNFED: Final = {
    "order_flows": "order flows",
    "order_books": "order books",
    "order_latencies_us": "order latencies",
    "options": "option positions",
}
"""Inputs that no environment of bars has."""


def unfed_metrics(policy: RiskPolicy) -> dict[str, str]:
    """Metrics of a risk policy that no environment of bars can feed, and what they need."""
    return {
        metric: _UNFED[needed]
        for calculator in policy.calculators.enabled()
        for needed in calculator.needs
        if needed in _UNFED
        for metric in calculator.metrics
    }


class EnvironmentConfig(TradingTerms):
    """How an episode trades, ends and rewards."""

    episode_bars: int | None = Field(default=672, ge=2)
    """Steps of an episode (672 are two weeks of 30 minutes); None goes on to the last bar."""

    random_start: bool = True
    """Whether episodes start anywhere in the bars; else at the first bar with an observation."""

    min_equity_fraction: float = Field(default=0.5, ge=0.0, lt=1.0)
    """The episode terminates when equity falls to this fraction of the initial cash."""

    reward: Literal["log_return", "simple_return"] = "log_return"
    """Change of equity over the bar, costs included. Log returns add up to the episode's."""

    max_jump: float = Field(default=MAX_JUMP, gt=0.0)
    """Bars that open or close farther than this log return from the last close are warned of, for
    production refuses them (`guard.max_jump`): as a rule, a split that prices are not adjusted for.
    """

    reward_scale: float = Field(default=100.0, gt=0.0)
    """Factor on the reward; 100 makes it percent."""
