"""A policy on held-out bars, beside what anybody could do without one."""

from dataclasses import dataclass

import numpy as np

from tradewind.policy import Network
from tradewind.risk import RiskPolicy
from tradewind.showing import evaluation_table, html_of, number
from trainer_service.environment import IntradayTradingEnv
from trainer_service.evaluation.episode import Episode, greedy, play, play_to
from trainer_service.evaluation.luck import bootstrap_figures, deflated_sharpe
from trainer_service.evaluation.performance import measure_performance
from trainer_service.evaluation.settings import EvaluationConfig

__all__ = ["BASELINES", "HeldOutEvaluation", "evaluate"]

BASELINES = ("buy_and_hold", "random", "always_flat")
_RANDOM_RUNS = 8


@dataclass(frozen=True, eq=False)
class HeldOutEvaluation:
    """What a policy did on held-out bars.

    Attributes:
        figures: By name, as `evaluate` says.
        policy: Its episode.
        buy_and_hold: The episode of the baseline on the same bars.
    """

    figures: dict[str, float]
    policy: Episode
    buy_and_hold: Episode

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={number(value)}" for name, value in self._headline().items())
        return f"HeldOutEvaluation({len(self.policy.returns):,} bars, {shown})"

    def _repr_html_(self) -> str:
        facts = {"bars": f"{len(self.policy.returns):,}"}
        return html_of("Held-out evaluation", facts, evaluation_table(self.figures))

    def _headline(self) -> dict[str, float]:
        names = ("return", "sharpe", "max_drawdown", "trades")
        return {name: self.figures[name] for name in names if name in self.figures}


def evaluate(
    env: IntradayTradingEnv,
    network: Network,
    risk_policy: RiskPolicy,
    config: EvaluationConfig,
    seed: int,
) -> HeldOutEvaluation:
    """Runs an exported policy and its baselines over held-out bars, costs included.

    The baselines are buy-and-hold (of several symbols, equal parts of each, never rebalanced),
    uniformly random actions (means of eight runs) and always flat.

    Args:
        env: One episode over the held-out bars.
        network: The network as the bundle holds it.
        risk_policy: Settings of the risk calculators.
        config: How sure a figure is to be.
        seed: Seeds the random actions and the bootstrap.

    Returns:
        The figures of `measure_performance`; those of a baseline under its prefix
        (`buy_and_hold_return`); `excess_return` and `excess_sharpe` over buy-and-hold;
        the intervals of `bootstrap_figures`; `deflated_sharpe`; and what they were calculated
        with: `confidence`, `block_bars`, `trials` and `periods_per_year`. One that cannot be
        calculated is left out.
    """
    env.action_space.seed(seed)
    policy = play(env, greedy(network))
    everything = np.full(len(env.symbols), env.config.position_fraction)
    nothing = np.full(len(env.symbols), np.nan)
    hold = play_to(env, lambda: nothing if env.holdings.quantities.any() else everything)
    flat = play_to(env, lambda: nothing)
    chance = [play(env, lambda _: env.action_space.sample()) for _ in range(_RANDOM_RUNS)]
    figures = measure_performance(policy, risk_policy)
    baselines = {
        "buy_and_hold": measure_performance(hold, risk_policy),
        "random": _means([measure_performance(run, risk_policy) for run in chance]),
        "always_flat": measure_performance(flat, risk_policy),
    }
    for baseline, values in baselines.items():
        figures |= {f"{baseline}_{name}": value for name, value in values.items()}
    return HeldOutEvaluation(
        figures=figures | _luck(figures, policy, hold, config, seed),
        policy=policy,
        buy_and_hold=hold,
    )


def _luck(
    figures: dict[str, float],
    policy: Episode,
    hold: Episode,
    config: EvaluationConfig,
    seed: int,
) -> dict[str, float]:
    periods = policy.periods_per_year
    found = {
        f"excess_{name}": figures[name] - figures[f"buy_and_hold_{name}"]
        for name in ("return", "sharpe")
        if name in figures and f"buy_and_hold_{name}" in figures
    }
    found |= {
        "confidence": config.confidence,
        "trials": float(config.trials),
        "periods_per_year": periods,
    }
    if policy.ruined or hold.ruined:
        return found
    found |= bootstrap_figures(policy.returns, hold.returns, periods, config, seed)
    deflated = deflated_sharpe(policy.returns, config.trials, config.trial_sharpe_variance, periods)
    if deflated is not None:
        found["deflated_sharpe"] = deflated
    return found


def _means(runs: list[dict[str, float]]) -> dict[str, float]:
    return {
        name: float(np.mean([run[name] for run in runs]))
        for name in runs[0]
        if all(name in run for run in runs)
    }
