"""Return, risk and trading of one episode, as figures by name."""

import numpy as np

from tradewind.market import market_named
from tradewind.risk import RiskPolicy
from tradewind.risk.calculators.volatility import VOLATILITY
from tradewind.risk.curve import summarize_curve
from tradewind.risk.periods import check_periods
from trainer_service.evaluation.episode import Episode

__all__ = ["measure_performance"]

_SECONDS_PER_DAY = 86_400.0


def measure_performance(episode: Episode, policy: RiskPolicy) -> dict[str, float]:
    """Figures of an episode, costs included; one that cannot be calculated is left out.

    Ratios are annualised with P, the bars in a year of their market, and the risk-free rate is 0:

        sharpe  = mean(r) · P / volatility
        sortino = (mean(r) − target) · P / downside_deviation

    Sources: W. Sharpe, "The Sharpe Ratio", J. Portfolio Management 21 (1994); F. Sortino, R. van
    der Meer, "Downside Risk", J. Portfolio Management 17 (1991).

    An account that has lost everything has a return, a drawdown of 1 or more, and no other risk
    figures: no return would follow.

    Returns:
        `return`, `sharpe`, `sortino`, `volatility`, `max_drawdown`, `var_95` and
        `expected_shortfall_95` (per bar), `trades`, `turnover_per_day` (notional traded a trading
        day, in units of the initial capital), `exposure` (mean absolute
        positions as a fraction of equity)
        and `costs` (as a fraction of the initial capital); where instruments or costs by component
        are traded, also `costs_fees` and the others of `Holdings.costs_by_component`, and
        `refused_trades`, which were too small.

    Raises:
        RiskPolicyError: The risk policy states another number of bars in a year.
    """
    initial = float(episode.equity[0])
    days = _days(episode)
    figures = {"return": float(episode.equity[-1]) / initial - 1.0}
    if episode.ruined:
        curve = summarize_curve(episode.equity, episode.timestamps, policy)
        figures["max_drawdown"] = curve.max_drawdown
    else:
        figures |= _risk_figures(episode, policy)
    return figures | {
        "trades": float(episode.trade_count),
        "turnover_per_day": episode.traded_notional / initial / days,
        "exposure": float(np.mean(np.abs(episode.exposures).sum(axis=1))),
        "costs": episode.costs / initial,
        **_cost_figures(episode, initial),
    }


def _cost_figures(episode: Episode, initial: float) -> dict[str, float]:
    if not episode.cost_components:
        return {}
    shares = {name: paid / initial for name, paid in episode.cost_components.items()}
    return {
        **{f"costs_{name}": share for name, share in shares.items()},
        "refused_trades": float(episode.refused_trades),
    }


def _days(episode: Episode) -> float:
    """Days that an episode takes: of the clock where the market never closes, else of trading."""
    sessions = market_named(episode.market).sessions
    if sessions is None:
        return float(episode.timestamps[-1] - episode.timestamps[0]) / _SECONDS_PER_DAY
    return (len(episode.equity) - 1) * sessions.per_year / episode.periods_per_year


def _risk_figures(episode: Episode, policy: RiskPolicy) -> dict[str, float]:
    periods = check_periods(policy, episode.periods_per_year, episode.market)
    curve = summarize_curve(episode.equity, episode.timestamps, policy, periods)
    settings = policy.calculators.of(VOLATILITY)
    mean = float(np.mean(episode.returns))
    figures = {
        "sharpe": _ratio(mean * periods, curve.volatility),
        "sortino": _ratio((mean - settings.target_return) * periods, curve.downside_deviation),
        "volatility": curve.volatility,
        "max_drawdown": curve.max_drawdown,
        "var_95": curve.var_95,
        "expected_shortfall_95": curve.expected_shortfall_95,
    }
    return {name: value for name, value in figures.items() if value is not None}


def _ratio(mean: float, deviation: float | None) -> float | None:
    return mean / deviation if deviation else None
