"""One self-contained HTML page about one bundle."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tradewind.bundle import BundleDraft
from tradewind.market import BarSeries
from tradewind.reporting.page import day, render_page
from tradewind.reporting.style import Chart
from tradewind.risk import RiskPolicy
from trainer_service.callbacks import MetricSeries
from trainer_service.evaluation import BASELINES, HeldOutEvaluation
from trainer_service.report.charts import equity_chart, position_chart, return_chart
from trainer_service.report.learning import learning_panels
from trainer_service.report.tables import figure_rows, tiles, verdicts

__all__ = ["REPORT_FILE", "render_report"]

REPORT_FILE: Final = "report.html"


def render_report(
    draft: BundleDraft,
    *,
    evaluation: HeldOutEvaluation | None,
    held_out: BarSeries | None,
    history: Mapping[str, MetricSeries],
    risk_policy: RiskPolicy,
) -> bytes:
    """Renders the report of a bundle that is about to be published.

    Args:
        draft: The bundle.
        evaluation: Its evaluation; None when no bars were held out.
        held_out: The bars of the evaluation.
        history: What was logged while the model learnt.
        risk_policy: The risk policy, for its limits.

    Returns:
        UTF-8 HTML; equal arguments give equal bytes.
    """
    threshold = None if draft.risk is None else draft.risk.early_stop_threshold
    panels = learning_panels(history, threshold)
    charts: dict[str, Chart] = {}
    if evaluation is not None:
        charts = {
            "equity": equity_chart(evaluation, risk_policy),
            "positions": position_chart(evaluation),
            "returns": return_chart(evaluation),
        }
    charts |= {f"learning-{index}": panel.chart for index, panel in enumerate(panels)}
    figures = draft.evaluation
    limits = {metric: limit.limit for metric, limit in risk_policy.limits.items()}
    return render_page(
        "trainer_service.report",
        "report.html.j2",
        charts,
        draft=draft,
        held_out=None if held_out is None else _span(held_out),
        figures=figures,
        tiles=tiles(figures, limits) if figures else [],
        symbols=() if evaluation is None else evaluation.policy.symbols,
        verdicts=verdicts(figures),
        rows=figure_rows(figures) if figures else [],
        baselines=[name.replace("_", " ").capitalize() for name in BASELINES],
        panels=panels,
        provenance=_provenance(draft),
        config_json=json.dumps(draft.training.config, indent=2),
    )


def _span(bars: BarSeries) -> str:
    first, last = (day(bars.timestamps_ns[0] / 1e9), day(bars.close_times_ns[-1] / 1e9))
    minutes = bars.interval_ns / 60e9
    return f"{bars.symbol}, {first} to {last}, {len(bars):,} bars of {minutes:g} min"


def _provenance(draft: BundleDraft) -> dict[str, str]:
    training, slo = draft.training, draft.slo
    risk = draft.risk
    own: Any = training.config.get("environment_class")
    rows = {
        "Algorithm": draft.algo,
        "Timesteps": f"{training.timesteps:,}",
        "Learnt on": training.device or "not recorded",
        "Seed": "not fixed" if training.seed is None else str(training.seed),
        "Data (SHA-256)": training.data_digest or "not made of bars",
        "Features (SHA-256)": draft.features.digest if draft.features else "none of ours",
        "Risk policy (SHA-256)": risk.policy_digest if risk else "took no part in the training",
        "Source revision": training.git_revision or "not a checkout",
        "Libraries": ", ".join(f"{name} {it}" for name, it in training.libraries.items()),
        "Model compute": f"p50 {slo.p50_us:.1f} µs, p99 {slo.p99_us:.1f} µs "
        f"({slo.trials:,} calls at export)",
        "Measured on": slo.where,
    }
    if own is not None:
        rows["Environment"] = f"{own['class']}, which changes {', '.join(own['changes'])}"
    if risk:
        stop = risk.early_stop_threshold
        rows["Risk in training"] = f"penalty weight {risk.penalty_weight:g}, " + (
            "no early stop" if stop is None else f"stops at a risk score of {stop:g}"
        )
    return rows
