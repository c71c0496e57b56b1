"""Walk-forward evaluation: the same training, repeated as time goes on, judged on what followed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tradewind.jobs import TrainingProgress
from tradewind.market.bars import FloatArray
from tradewind.risk import RiskPolicy
from tradewind.risk.curve import summarize_curve
from tradewind.showing import Table, figures_table, html_of, number
from trainer_service.evaluation import (
    Episode,
    HeldOutEvaluation,
    Split,
    WalkForwardConfig,
    bootstrap_figures,
    deflated_sharpe,
    walk_forward_splits,
)
from trainer_service.progress import ProgressReporter
from trainer_service.research.judging import train_and_judge
from trainer_service.training.agent import create_trainer_agent
from trainer_service.training.config import TrainingConfig
from trainer_service.training.workspace import Env, hold_against_bars, trading_env_of

__all__ = ["Fold", "Stitched", "WalkForward", "walk_forward"]

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
        learnt: Begin and end of the bars it learnt from, seconds since the epoch.
        evaluation: How it did on those that it was judged on.
    """

    split: Split
    learnt: tuple[float, float]
    evaluation: HeldOutEvaluation


@dataclass(frozen=True, eq=False)
class Stitched:
    """The folds strung together: each trades what the one before left.

    Attributes:
        timestamps: Closes, seconds since the epoch. Shape [n].
        policy: Account of the policies, 1 at first. Shape [n].
        buy_and_hold: Account of buy-and-hold, bought again in every fold. Shape [n].
        starts: Where each fold begins.
    """

    timestamps: FloatArray
    policy: FloatArray
    buy_and_hold: FloatArray
    starts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class WalkForward:
    """All folds.

    Attributes:
        folds: Oldest first.
        summary: For each X of `return`, `sharpe`, `sortino`, `max_drawdown`,
            `expected_shortfall_95`, `excess_return` and `excess_sharpe` (over buy-and-hold) that
            every fold has: `X_mean`, `X_std` (sample deviation), `X_min` and `X_max`. Of the folds
            strung together, under `compound_`: `return`, `sharpe`, `max_drawdown` and
            `expected_shortfall_95`, the same of `buy_and_hold_`, `excess_return`,
            `excess_sharpe`, and the intervals of `bootstrap_figures`; and `deflated_sharpe`. And
            `folds`, `folds_with_gain`, `folds_above_buy_and_hold`, `confidence`, `trials` and
            `periods_per_year`.
        stitched: The folds strung together; None when an account lost everything.
    """

    folds: tuple[Fold, ...]
    summary: dict[str, float]
    stitched: Stitched | None

    def __repr__(self) -> str:
        gained = f"{self.summary['folds_with_gain']:.0f} with a gain"
        return f"WalkForward({len(self.folds)} folds, {gained})"

    def _repr_html_(self) -> str:
        each = tuple(
            (str(at), *(number(fold.evaluation.figures.get(name)) for name in _SUMMARISED))
            for at, fold in enumerate(self.folds, start=1)
        )
        folds = Table(("fold", *(f">{name}" for name in _SUMMARISED)), each)
        return html_of("Walk-forward", {}, folds, figures_table("over the folds", self.summary))


def walk_forward(
    config: TrainingConfig | Mapping[str, Any],
    env: Env,
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
    bars, lookback = trading_env_of(env).bars, trading_env_of(env).feature_spec.lookback
    hold_against_bars(risk_policy, bars)
    splits = walk_forward_splits(len(bars), lookback, settings or WalkForwardConfig())
    folds = []
    for index, split in enumerate(splits):
        reporter = ProgressReporter(
            partial(on_progress, index), checked.training_params.total_timesteps
        )
        past, future = bars.slice(*split.train), bars.slice(*split.test)
        learnt = (past.timestamps_ns[0] / 1e9, past.close_times_ns[-1] / 1e9)
        folds.append(Fold(split, learnt, train_and_judge(checked, env, past, future, reporter)))
    stitched = _stitch([fold.evaluation for fold in folds])
    summary = _summarize(folds, checked)
    if stitched is not None:
        summary |= _summarize_stitched(stitched, risk_policy, checked, summary["periods_per_year"])
    return WalkForward(tuple(folds), summary, stitched)


def _summarize(folds: Sequence[Fold], config: TrainingConfig) -> dict[str, float]:
    figures = [fold.evaluation.figures for fold in folds]
    summary = {
        "folds": float(len(folds)),
        "folds_with_gain": float(sum(found["return"] > 0.0 for found in figures)),
        "folds_above_buy_and_hold": float(sum(found["excess_return"] > 0.0 for found in figures)),
        "confidence": config.evaluation.confidence,
        "trials": float(config.evaluation.trials),
        "periods_per_year": folds[0].evaluation.policy.periods_per_year,
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
    return summary


def _stitch(evaluations: Sequence[HeldOutEvaluation]) -> Stitched | None:
    if any(found.policy.ruined or found.buy_and_hold.ruined for found in evaluations):
        return None
    lengths = [len(found.policy.returns) for found in evaluations]

    def string(episodes: Iterable[Episode]) -> FloatArray:
        returns = np.concatenate([episode.returns for episode in episodes])
        return np.concatenate([[1.0], np.cumprod(1.0 + returns)])

    return Stitched(
        timestamps=np.concatenate(
            [
                evaluations[0].policy.timestamps[:1],
                *(found.policy.timestamps[1:] for found in evaluations),
            ]
        ),
        policy=string(found.policy for found in evaluations),
        buy_and_hold=string(found.buy_and_hold for found in evaluations),
        starts=tuple(int(start) for start in np.cumsum([0, *lengths[:-1]])),
    )


def _summarize_stitched(
    stitched: Stitched, risk_policy: RiskPolicy, config: TrainingConfig, periods: float
) -> dict[str, float]:
    judged = config.evaluation
    summary = {
        f"compound_{prefix}{name}": value
        for prefix, curve in (("", stitched.policy), ("buy_and_hold_", stitched.buy_and_hold))
        for name, value in _measure(curve, stitched.timestamps, risk_policy, periods).items()
    }
    for name in ("return", "sharpe"):
        own, other = f"compound_{name}", f"compound_buy_and_hold_{name}"
        if own in summary and other in summary:
            summary[f"compound_excess_{name}"] = summary[own] - summary[other]
    policy, hold = (
        curve[1:] / curve[:-1] - 1.0 for curve in (stitched.policy, stitched.buy_and_hold)
    )
    intervals = bootstrap_figures(policy, hold, periods, judged, config.training_params.seed)
    summary |= {f"compound_{name}": value for name, value in intervals.items()}
    deflated = deflated_sharpe(policy, judged.trials, judged.trial_sharpe_variance, periods)
    return summary if deflated is None else summary | {"deflated_sharpe": deflated}


def _measure(
    curve: FloatArray, timestamps: FloatArray, risk_policy: RiskPolicy, periods: float
) -> dict[str, float]:
    found = summarize_curve(curve, timestamps, risk_policy, periods)
    mean = float(np.mean(curve[1:] / curve[:-1] - 1.0))
    figures = {
        "return": found.total_return,
        "sharpe": mean * periods / found.volatility if found.volatility else None,
        "max_drawdown": found.max_drawdown,
        "expected_shortfall_95": found.expected_shortfall_95,
    }
    return {name: value for name, value in figures.items() if value is not None}
