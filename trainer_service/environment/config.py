"""Settings of the trading environment."""

from typing import Annotated, Final, Literal

from pydantic import Field

from tradewind.market import TradingTerms
from tradewind.market.instruments import NamedInstrument
from tradewind.market.jumps import MAX_JUMP
from tradewind.parts import Named
from tradewind.risk import RiskPolicy
from trainer_service.environment.reward import REWARDS, Reward

__all__ = ["EnvironmentConfig", "EnvironmentSettings", "unfed_metrics"]

_COMPILED: Final = ("log_return", "simple_return")
AnyReward = Literal["log_return", "simple_return"] | Reward

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

    reward: Annotated[AnyReward, Named(Reward, plain=_COMPILED)] = "log_return"
    """Change of equity over the bar, costs included: log_return, which adds up to the episode's, or
    simple_return; or a `Reward` of one's own."""

    max_jump: float = Field(default=MAX_JUMP, gt=0.0)
    """Bars that open or close farther than this log return from the last close are warned of, for
    production refuses them (`guard.max_jump`): as a rule, a split that prices are not adjusted for.
    """

    reward_scale: float = Field(default=100.0, gt=0.0)
    """Factor on the reward; 100 makes it percent."""


class EnvironmentSettings(EnvironmentConfig):
    """EnvironmentConfig as a configuration says it: a reward by its name, with its options."""

    reward: Annotated[AnyReward, Named(Reward, REWARDS, plain=_COMPILED)] = "log_return"
    """log_return or simple_return, changes of equity over the bar; or a reward of one's own,
    `{kind: NAME, options: {...}}`."""

    instruments: tuple[NamedInstrument, ...] = ()
    """What each symbol is traded as, in their order, or one for all of them, by their names in
    config/instruments.yaml or as they are. None: any quantity at any price."""

    def made(self) -> EnvironmentConfig:
        """The same, which a bundle records: the reward by name and version."""
        return EnvironmentConfig(**dict(self))
