"""One self-contained HTML page about a walk-forward evaluation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tradewind.reporting.figures import fine_percent, percent, ratio, signed_percent
from tradewind.reporting.page import day, render_page
from tradewind.reporting.style import BENCHMARK, FLAT, POLICY, Chart, axis, base_layout
from tradewind.risk import RiskPolicy
from trainer_service.evaluation import BASELINES
from trainer_service.report.charts import curve_chart
from trainer_service.report.tables import Cell, figure_cell, tiles, verdicts
from trainer_service.research.walk_forward import Fold, WalkForward
from trainer_service.training.config import TrainingConfig

__all__ = ["render_walk_forward"]

_COMPOUND: Final = "compound_"
_SHOWN: Final = (
    ("return", "Return", signed_percent),
    ("sharpe", "Sharpe ratio", ratio),
    ("max_drawdown", "Max drawdown", percent),
    ("expected_shortfall_95", "ES 95 % per bar", fine_percent),
    ("deflated_sharpe", "Deflated Sharpe", percent),
)
_COLOURS: Final = {"": POLICY, "buy_and_hold_": BENCHMARK, "random_": FLAT}


@dataclass(frozen=True, slots=True)
class _Strategy:
    """One line of the table of a fold."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class _FoldRows:
    """One fold of the table, or all of them strung together."""

    title: str
    notes: tuple[str, ...]
    strategies: tuple[_Strategy, ...]


def render_walk_forward(
    found: WalkForward, *, config: TrainingConfig, symbol: str, risk_policy: RiskPolicy
) -> bytes:
    """Renders the page of a walk-forward evaluation.

    Args:
        found: The evaluation.
        config: What was trained in every fold.
        symbol: What was traded.
        risk_policy: The risk policy, for its limits.

    Returns:
        UTF-8 HTML; equal arguments give equal bytes.
    """
    summary = found.summary
    strung = {
        name.removeprefix(_COMPOUND): value
        for name, value in summary.items()
        if name.startswith(_COMPOUND) or name in ("confidence", "trials", "deflated_sharpe")
    }
    limits = {metric: limit.limit for metric, limit in risk_policy.limits.items()}
    charts = {"folds": _fold_chart(found)}
    if found.stitched is not None:
        curves = {
            "Buy and hold": found.stitched.buy_and_hold,
            "Policy": found.stitched.policy,
        }
        times = found.stitched.timestamps
        starts = [float(times[start]) for start in found.stitched.starts]
        charts["equity"] = curve_chart(times, curves, risk_policy, marks=starts)
    first, last = (found.folds[end].evaluation.policy.timestamps for end in (0, -1))
    return render_page(
        "trainer_service.research",
        "walk_forward.html.j2",
        charts,
        title=f"{config.algorithm} on {symbol}",
        timesteps=f"{config.training_params.total_timesteps:,}",
        span=f"{day(first[0])} to {day(last[-1])}",
        fold_count=len(found.folds),
        tiles=tiles(strung, limits) if found.stitched is not None else [],
        verdicts=[_fold_verdict(summary), *verdicts(strung)],
        stitched=found.stitched is not None,
        headings=[label for _, label, _ in _SHOWN],
        rows=_rows(found, strung),
        confidence=f"{100.0 * summary['confidence']:g} %",
        periods=f"{summary['periods_per_year']:,.0f}",
        config_json=json.dumps(config.record(), indent=2),
    )


def _rows(found: WalkForward, strung: Mapping[str, float]) -> list[_FoldRows]:
    rows = [_fold_rows(number, fold) for number, fold in enumerate(found.folds, start=1)]
    if found.stitched is not None:
        rows.append(_FoldRows("All folds", ("strung together",), _strategies(strung)))
    return rows


def _fold_rows(number: int, fold: Fold) -> _FoldRows:
    times = fold.evaluation.policy.timestamps
    notes = (
        f"learnt {day(fold.learnt[0])} to {day(fold.learnt[1])}",
        f"judged {day(times[0])} to {day(times[-1])}",
    )
    return _FoldRows(f"Fold {number}", notes, _strategies(fold.evaluation.figures))


def _strategies(figures: Mapping[str, float]) -> tuple[_Strategy, ...]:
    """The policy and every baseline that there are figures of."""
    named = [("Policy", ""), *((_plain(name), f"{name}_") for name in BASELINES)]
    return tuple(
        _Strategy(
            label, tuple(figure_cell(figures, f"{prefix}{name}", form) for name, _, form in _SHOWN)
        )
        for label, prefix in named
        if f"{prefix}return" in figures
    )


def _fold_verdict(summary: Mapping[str, float]) -> str:
    count = summary["folds"]
    return (
        f"{summary['folds_above_buy_and_hold']:.0f} of {count:.0f} folds did better than buy and "
        f"hold, {summary['folds_with_gain']:.0f} of {count:.0f} ended with a gain."
    )


def _fold_chart(found: WalkForward) -> Chart:
    """The return of every fold, beside the baselines that trade."""
    names = [f"Fold {number}" for number in range(1, len(found.folds) + 1)]
    data: list[dict[str, Any]] = []
    for prefix, colour in _COLOURS.items():
        values = [
            100.0 * fold.evaluation.figures.get(f"{prefix}return", np.nan) for fold in found.folds
        ]
        data.append(
            {
                "type": "bar",
                "name": _plain(prefix) or "Policy",
                "x": names,
                "y": [value if np.isfinite(value) else None for value in values],
                "marker": {"color": colour},
                "hovertemplate": "%{y:+.2f} %",
            }
        )
    layout = base_layout(
        320,
        barmode="group",
        bargap=0.35,
        xaxis=axis("Fold, oldest first"),
        yaxis=axis("Return after costs (%)", zeroline=True, zerolinecolor="#9AA5B1"),
    )
    return {"data": data, "layout": layout}


def _plain(name: str) -> str:
    return name.strip("_").replace("_", " ").capitalize()
