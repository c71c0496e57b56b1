"""What a risk policy assumes of the length of a bar, held against the bars that there are."""

from typing import Final

from tradewind.errors import RiskPolicyError
from tradewind.risk.calculators.drawdown_velocity import DRAWDOWN_VELOCITY
from tradewind.risk.calculators.turnover import HORIZONS_S
from tradewind.risk.calculators.volatility import AUTO, PERIODS_TOLERANCE, VOLATILITY
from tradewind.risk.policy import RiskPolicy

__all__ = ["check_periods", "window_doubts"]

_DAY_S: Final = 86_400.0


def check_periods(policy: RiskPolicy, periods_per_year: float, market: str) -> float:
    """The bars in a year, unless the policy states others.

    Args:
        policy: The risk policy.
        periods_per_year: Of the bars and their market.
        market: Name of the market, for the message.

    Raises:
        RiskPolicyError: The policy states a number that differs by more than 5 %.
    """
    settings = policy.calculators.of(VOLATILITY)
    stated = settings.periods_per_year
    if (
        settings.enabled
        and stated != AUTO
        and abs(periods_per_year - stated) > PERIODS_TOLERANCE * stated
    ):
        raise RiskPolicyError(
            f"the risk policy states {stated:g} bars a year "
            f"(calculators.volatility.periods_per_year), these bars are {periods_per_year:g} a "
            f"year of the market {market}: set it to auto or to {periods_per_year:g}, or name the "
            "market the bars are of"
        )
    return periods_per_year


def window_doubts(policy: RiskPolicy, bar_seconds: float) -> tuple[str, ...]:
    """Sentences on limits and rules whose metric cannot say much of bars of this length.

    Args:
        policy: The risk policy.
        bar_seconds: Length of a bar.
    """
    watched = set(policy.limits)
    for rule in policy.rules:
        watched.update(part.metric for part in rule.when.thresholds() if part.metric)
    doubts = []
    for metric, horizon_s in zip(("hourly_turnover", "daily_turnover"), HORIZONS_S, strict=True):
        if metric in watched and bar_seconds >= horizon_s:
            doubts.append(
                f"{metric} is 0 at every close: a trade at the open of a bar of {bar_seconds:g} s "
                f"is no longer among those of the last {horizon_s:g} s"
            )
    if "daily_drawdown" in watched and bar_seconds >= _DAY_S:
        doubts.append(
            f"daily_drawdown is 0 at every close: a day has no more than one bar of "
            f"{bar_seconds:g} s"
        )
    window = policy.calculators.of(DRAWDOWN_VELOCITY).window_bars
    velocities = watched & {"drawdown_velocity", "drawdown_acceleration"}
    if velocities and window * bar_seconds > _DAY_S:
        doubts.append(
            f"{' and '.join(sorted(velocities))}: the window of {window} bars takes "
            f"{window * bar_seconds / _DAY_S:.1f} days, nights included, and the limit is one a "
            "minute: set window_bars and the limit for bars of this length"
        )
    return tuple(doubts)
