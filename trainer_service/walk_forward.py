"""Walk-forward evaluation: the same training, repeated as time goes on, judged on what followed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tradewind.risk import RiskPolicy
from trainer_service.agent import create_trainer_agent
from trainer_service.config import TrainingConfig
from trainer_service.environment import IntradayTradingEnv
from trainer_service.evaluation import (
    Evaluation,
    Split,
    WalkForwardConfig,
    bootstrap_figures,
    deflated_sharpe,
    walk_forward_splits,
)
from trainer_service.judging import train_and_judge
from trainer_service.progress import ProgressReporter, TrainingProgress

__all__ = ["Fold", "WalkForward", "walk_forward"]

FoldListener = Callable[[int, TrainingProgress], None]
"""Takes the index of a fold and how far its training is."""

_SUMMARISED = (
    "return",
    "sharpe",
    "sortino",
    "max_drawdown",
    "expected_shortfall_95",
    "excess_return",
    "excess_sharpe",
)


@dataclass(frozen=True, eq=False)
class Fold:
    """One training and what became of it.

    Attributes:
        split: Bars it learnt from and bars it was judged on.
        evaluation: How it did on the latter.
    """

    split: Split
    evaluation: Evaluation


@dataclass(frozen=True, eq=False)
class WalkForward:
    """All folds.

    Attributes:
        folds: Oldest first.
        summary: For each X of `return`, `sharpe`, `sortino`, `max_drawdown`,
            `expected_shortfall_95`, `excess_return` and `excess_sharpe` (over buy-and-hold) that
            every fold has: `X_mean`, `X_std` (sample deviation), `X_min` and `X_max`. Of the folds
            strung together, each with fresh capital: `compound_return`,
            `compound_buy_and_hold_return`, the intervals of `bootstrap_figures` under `compound_`,
            and `deflated_sharpe`. And `folds`, `folds_with_gain`, `folds_above_buy_and_hold`.
    """

    folds: tuple[Fold, ...]
    summary: dict[str, float]


def walk_forward(
    config: TrainingConfig | Mapping[str, Any],
    env: IntradayTradingEnv,
    settings: WalkForwardConfig | None = None,
    on_progress: FoldListener = lambda _fold, _progress: None,
) -> WalkForward:
    """Trains once a fold on the bars up to a day and evaluates on those after it.

    Nothing is published. `training_params.held_out_fraction` does not matter: the folds hold out.

    Args:
        config: As create_trainer_agent takes it.
        env: Bars, costs and features; it is copied and never stepped.
        settings: How the bars are split.
        on_progress: Called with the index of the fold and its progress.

    Raises:
        SettingsError: The configuration or the embargo is refused.
        MarketDataError: The bars are too few for the folds.
        TrainingError: As `TrainerAgent.fit` says.
    """
    checked = create_trainer_agent(config).config
    risk_policy = RiskPolicy.from_yaml(checked.risk_config.policy_yaml)
    splits = walk_forward_splits(
        len(env.bars), env.feature_spec.lookback, settings or WalkForwardConfig()
    )
    folds = []
    for index, split in enumerate(splits):
        reporter = ProgressReporter(
            partial(on_progress, index), checked.training_params.total_timesteps
        )
        past, future = env.bars.slice(*split.train), env.bars.slice(*split.test)
        folds.append(Fold(split, train_and_judge(checked, env, past, future, reporter)))
    return WalkForward(tuple(folds), _summarize(folds, risk_policy, checked))


def _summarize(
    folds: list[Fold], risk_policy: RiskPolicy, config: TrainingConfig
) -> dict[str, float]:
    figures = [fold.evaluation.figures for fold in folds]
    summary = {
        "folds": float(len(folds)),
        "folds_with_gain": float(sum(found["return"] > 0.0 for found in figures)),
        "folds_above_buy_and_hold": float(sum(found["excess_return"] > 0.0 for found in figures)),
    }
    for name in _SUMMARISED:
        if all(name in found for found in figures):
            values = np.array([found[name] for found in figures])
            summary |= {
                f"{name}_mean": float(values.mean()),
                f"{name}_std": float(values.std(ddof=1)),
                f"{name}_min": float(values.min()),
                f"{name}_max": float(values.max()),
            }
    evaluations = [fold.evaluation for fold in folds]
    if any(found.policy.ruined or found.buy_and_hold.ruined for found in evaluations):
        return summary
    policy = np.concatenate([found.policy.returns for found in evaluations])
    hold = np.concatenate([found.buy_and_hold.returns for found in evaluations])
    judged = config.evaluation
    periods = risk_policy.calculators.volatility.periods_per_year
    summary["compound_return"] = float(np.prod(1.0 + policy) - 1.0)
    summary["compound_buy_and_hold_return"] = float(np.prod(1.0 + hold) - 1.0)
    intervals = bootstrap_figures(policy, hold, periods, judged, config.training_params.seed)
    summary |= {f"compound_{name}": value for name, value in intervals.items()}
    deflated = deflated_sharpe(policy, judged.trials, judged.trial_sharpe_variance, periods)
    return summary if deflated is None else summary | {"deflated_sharpe": deflated}
