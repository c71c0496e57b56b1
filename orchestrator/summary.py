"""The tables a replay ends with."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.table import Table

from orchestrator.replay import ReplayResult
from orchestrator.served_policy import Decision
from tradewind.risk.curve import summarize_curve
from tradewind.rpc.clients import LatencyReport

__all__ = ["latency_table", "performance_table", "slo_verdict"]

_QUANTILES = (0.5, 0.9, 0.99, 0.999)


def latency_table(report: LatencyReport, decisions: Sequence[Decision]) -> Table:
    """Percentiles of the model compute as the server measured it, and of both round trips."""
    table = Table(
        title="Latency in µs: in the server, and round trips",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("", no_wrap=True)
    for name in ("calls", "p50", "p90", "p99", "p99.9", "max"):
        table.add_column(name, justify="right")
    server = (report.p50_us, report.p90_us, report.p99_us, report.p999_us, report.max_us)
    table.add_row("model compute", *_cells(report.call_count, server))
    for name, times_ns in (
        ("Predict RPC", [decision.predict_ns for decision in decisions]),
        ("CalculateOnly RPC", [decision.risk_ns for decision in decisions]),
    ):
        times_us = np.array(times_ns) / 1e3
        values = [*np.quantile(times_us, _QUANTILES), times_us.max()]
        table.add_row(name, *_cells(len(times_us), values))
    return table


def slo_verdict(report: LatencyReport) -> str:
    """Whether the model compute held its objective at p99, in one line."""
    met = report.p99_us <= report.slo_us
    share = report.slo_violation_count / report.call_count if report.call_count else 0.0
    return (
        f"SLO of {report.slo_us:g} µs at p99: [bold {'green' if met else 'red'}]"
        f"{'met' if met else 'missed'}[/] (p99 {report.p99_us:.1f} µs; "
        f"{report.slo_violation_count} of {report.call_count} calls over it, {share:.2%})"
    )


def performance_table(replays: Mapping[str, ReplayResult]) -> Table:
    """What each account earned and risked; costs are included."""
    table = Table(title="Held-out bars, after costs", title_justify="left", title_style="bold")
    table.add_column("")
    for name in ("return", "max drawdown", "ES 95 % per bar", "trades", "fees"):
        table.add_column(name, justify="right")
    for name, result in replays.items():
        curve = summarize_curve(result.equity, result.timestamps)
        shortfall = curve.expected_shortfall_95
        table.add_row(
            name,
            f"{curve.total_return:+.2%}",
            f"{curve.max_drawdown:.2%}",
            "unavailable" if shortfall is None else f"{shortfall:.3%}",
            f"{result.trade_count}",
            f"{result.fees_paid:,.0f}",
        )
    return table


def _cells(count: int, values: Sequence[float]) -> list[str]:
    return [f"{count:,}", *(f"{value:,.1f}" for value in values)]
