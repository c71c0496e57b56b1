"""The charts of a training: what was logged while the model learnt."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tradewind.reporting.style import Chart, axis, base_layout, decimate, encode, mark
from trainer_service.callbacks import MetricSeries

__all__ = ["LearningPanel", "learning_panels"]

# Series that say how the training ran and not what was learnt.
_LEFT_OUT: Final = (
    *("time/", "train/n_updates", "train/learning_rate"),
    *("rollout/ep_len_mean", "constraint_updates"),
)
_TITLES: Final = {
    "rollout/ep_rew_mean": ("Reward", "mean episode reward"),
    "rollout/exploration_rate": ("Exploration", "share of random actions"),
    "risk/penalty": ("Risk penalty", "penalty, 1 at the limits"),
    "risk/unknown_penalties": ("Steps without a penalty", "steps"),
    "train/approx_kl": ("KL divergence of an update", "nats"),
    "train/clip_fraction": ("Clipped updates", "share"),
    "train/explained_variance": ("Explained variance of the critic", "share"),
    "train/std": ("Deviation of the actions", "standard deviation"),
    "constraint_satisfied": ("Constraints kept", "1 while all are"),
    "train/ent_coef": ("Entropy coefficient", "coefficient"),
}
_SCORES: Final = ("risk/score", "risk/judged_score")
_MULTIPLIERS: Final = "multiplier/"
_CONSTRAINTS: Final = "constraint/"


@dataclass(frozen=True, slots=True)
class LearningPanel:
    """One small chart.

    Attributes:
        title: What it shows.
        chart: The chart.
    """

    title: str
    chart: Chart


def learning_panels(
    history: Mapping[str, MetricSeries], early_stop_threshold: float | None
) -> list[LearningPanel]:
    """Charts over the timesteps: reward, risk, multipliers, losses, and whatever else was logged.

    Args:
        history: Series by name. Those under `multiplier/` share a chart.
        early_stop_threshold: Risk score that ends a training; None draws no line.
    """
    shown = {name: one for name, one in history.items() if len(one.steps) > 1}
    scores = {_plain(name): shown.pop(name) for name in _SCORES if name in shown}
    multipliers = {
        name.removeprefix(_MULTIPLIERS): shown.pop(name)
        for name in sorted(shown)
        if name.startswith(_MULTIPLIERS)
    }
    panels = _single_panels(shown, "rollout/")
    if scores:
        chart = _chart("risk score, 1 at a limit", scores, threshold=early_stop_threshold)
        panels.append(LearningPanel("Risk score", chart))
    panels += _single_panels(shown, "risk/")
    if multipliers:
        panels.append(LearningPanel("Risk multipliers", _chart("multiplier", multipliers)))
    panels += _single_panels(shown, _CONSTRAINTS)
    return panels + _single_panels(shown, "train/") + _single_panels(shown, "")


def _single_panels(shown: dict[str, MetricSeries], prefix: str) -> list[LearningPanel]:
    """Takes the series under a prefix out of those to be shown: a chart for each that moves."""
    panels = []
    constrained = prefix == _CONSTRAINTS
    for name in sorted(name for name in shown if name.startswith(prefix)):
        series = shown.pop(name)
        if not name.startswith(_LEFT_OUT) and len(set(series.values)) > 1:
            title, unit = _TITLES.get(name, (_plain(name), _plain(name).lower()))
            if constrained:
                title, unit = f"Constraint: {title.lower()}", "metric / its limit"
            panels.append(LearningPanel(title, _chart(unit, {title: series})))
    return panels


def _plain(name: str) -> str:
    """A name as a title: "train/value_loss" is "Value loss"."""
    return name.rpartition("/")[2].replace("_", " ").capitalize()


def _chart(
    unit: str, series: Mapping[str, MetricSeries], *, threshold: float | None = None
) -> Chart:
    data: list[dict[str, Any]] = []
    for name, one in series.items():
        values = np.array(one.values)
        chosen = decimate(values)
        trace = {
            "type": "scatter",
            "mode": "lines+markers" if len(chosen) < 60 else "lines",
            "marker": {"size": 4},
            "name": name,
            "x": encode(np.array(one.steps)[chosen]),
            "y": encode(values[chosen]),
            "line": {"width": 1.75},
            "hovertemplate": "%{y:.4~g}",
        }
        data.append(trace)
    if threshold is not None:
        steps = [step for one in series.values() for step in one.steps]
        data.append(mark(f"Stops at {threshold:g}", [min(steps), max(steps)], [threshold] * 2))
    layout = base_layout(
        240,
        margin={"l": 60, "r": 16, "t": 8 if len(data) == 1 else 24, "b": 40},
        showlegend=len(data) > 1,
        xaxis=axis("Timesteps", tickformat="~s", hoverformat=",.0f", nticks=6),
        yaxis=axis(unit, nticks=5, tickformat="~g"),
    )
    return {"data": data, "layout": layout}
