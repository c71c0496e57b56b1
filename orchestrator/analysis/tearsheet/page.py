"""One self-contained HTML page about one decision log."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import numpy as np

from orchestrator.account.portfolio import read_allocations
from orchestrator.analysis.tearsheet.charts import (
    cost_chart,
    count_chart,
    equity_chart,
    latency_chart,
    position_chart,
    return_chart,
    variant_chart,
)
from orchestrator.analysis.tearsheet.sheet import Sheet, read_sheet
from orchestrator.decision_log import DecisionLog
from tradewind.constants import MAX_PREDICTION_LATENCY_US
from tradewind.reporting.figures import (
    Tile,
    count,
    fine_percent,
    limit_tile,
    percent,
    signed_percent,
)
from tradewind.reporting.page import day, render_page
from tradewind.reporting.style import Chart
from tradewind.risk import FloatArray

__all__ = ["latency_rows", "render_sheet", "render_tearsheet"]

_PERCENTILES: Final = (50.0, 99.0, 99.9)
_MISSING: Final = "–"
_MOST_HALTS: Final = 20


def render_tearsheet(log: DecisionLog) -> bytes:
    """Renders the tearsheet of a log; its curve, limits and figures are those of its account.

    Returns:
        UTF-8 HTML; the same log gives the same bytes.

    Raises:
        InvalidInputError: The log has fewer than two ticks.
        RiskInputError: The account lost everything: there is no curve.
    """
    return render_sheet(read_sheet(log))


def render_sheet(sheet: Sheet) -> bytes:
    """Renders the tearsheet of a log that was read; see `render_tearsheet`."""
    budget_us = 1e3 * sheet.facts["safety"]["budget_ms"]
    charts: dict[str, Chart] = {
        "equity": equity_chart(sheet),
        "returns": return_chart(sheet),
        "costs": cost_chart(sheet),
        "small-outcomes": count_chart(sheet.outcomes, "ticks"),
    }
    if sheet.latencies_us:
        charts["latency"] = latency_chart(sheet.latencies_us, budget_us)
    if sheet.reasons:
        charts["small-reasons"] = count_chart(sheet.reasons, "ticks")
    for number, trades in enumerate(sheet.symbols):
        charts[f"small-position-{number}"] = position_chart(sheet, trades)
    if len(sheet.variants) > 1:
        charts["variants"] = variant_chart([series for series, _ in sheet.variants])
    return render_page(
        "orchestrator.analysis.tearsheet",
        "tearsheet.html.j2",
        charts,
        account=sheet.account,
        span=f"{day(sheet.seconds[0])} to {day(sheet.seconds[-1])}",
        tick_count=count(len(sheet.equity)),
        symbols=sheet.symbols,
        tiles=_tiles(sheet),
        cost_rows=_cost_rows(sheet),
        has_reasons=bool(sheet.reasons),
        demands=_shares(sheet.demands),
        bar_faults=_shares(sheet.bar_faults),
        latency_rows=latency_rows(sheet),
        variant_rows=_variant_rows(sheet),
        halts=[
            (_time(halt.first_s), _time(halt.last_s), count(halt.ticks), halt.cause)
            for halt in sheet.halts[:_MOST_HALTS]
        ],
        more_halts=max(len(sheet.halts) - _MOST_HALTS, 0),
        provenance=_provenance(sheet),
    )


def _tiles(sheet: Sheet) -> list[Tile]:
    limits = {name: item.limit for name, item in sheet.risk_policy.limits.items()}
    summary = sheet.summary
    total = len(sheet.equity)
    made = [
        Tile(
            "Return",
            signed_percent(summary.total_return),
            f"{sheet.equity[0]:,.0f} to {sheet.equity[-1]:,.0f}",
        ),
        limit_tile("Max drawdown", summary.max_drawdown, limits.get("max_drawdown"), percent),
    ]
    if summary.expected_shortfall_95 is not None:
        made.append(
            limit_tile(
                "ES 95 % per bar",
                summary.expected_shortfall_95,
                limits.get("expected_shortfall_95"),
                fine_percent,
            )
        )
    costs = float(sheet.fees[-1] + sheet.slippage[-1])
    fills = sum(trades.fill_count for trades in sheet.symbols)
    made.append(Tile("Fees and slippage", f"{costs:,.0f}", f"{fills:,} fills"))
    computes = sheet.latencies_us.get("Model compute")
    if computes is not None:
        p99 = float(np.percentile(computes, 99.0))
        late = p99 > MAX_PREDICTION_LATENCY_US
        note = f"{'above the ' if late else ''}SLO {MAX_PREDICTION_LATENCY_US:g} µs"
        made.append(Tile("Model compute p99", f"{p99:,.1f} µs", note, late))
    halted = sum(halt.ticks for halt in sheet.halts)
    decided = sheet.outcomes.get("DECIDED", 0)
    note = f"{halted:,} of {total:,} halted" if halted else f"{decided:,} of {total:,}"
    made.append(Tile("Ticks decided", percent(decided / total), note, bool(halted)))
    return made


def _cost_rows(sheet: Sheet) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for trades in sheet.symbols:
        costs = trades.fees + trades.slippage
        share = f"{1e4 * costs / trades.notional:,.1f}" if trades.notional else _MISSING
        rows.append(
            (
                trades.symbol,
                count(trades.fill_count),
                count(trades.notional),
                f"{trades.fees:,.2f}",
                f"{trades.slippage:,.2f}".replace("-", "−"),
                share,
            )
        )
    return rows


def latency_rows(sheet: Sheet) -> list[tuple[str, ...]]:
    """What was timed, how often, p50, p99, p99.9, longest, its objective, and what is beyond it."""
    budget_us = 1e3 * sheet.facts["safety"]["budget_ms"]
    objectives = {
        "Model compute": ("SLO", float(MAX_PREDICTION_LATENCY_US)),
        "Bar to order": ("budget", budget_us),
    }
    rows = []
    for name, values in sheet.latencies_us.items():
        figures = [*np.percentile(values, _PERCENTILES), values.max()]
        kind, allowed = objectives.get(name, ("", None))
        limit = _MISSING if allowed is None else f"{kind} {_microseconds(allowed)}"
        beyond = _MISSING if allowed is None else _beyond(values, allowed)
        rows.append(
            (name, count(len(values)), *(_microseconds(it) for it in figures), limit, beyond)
        )
    return rows


def _beyond(values: FloatArray, allowed: float) -> str:
    number = int((values > allowed).sum())
    return f"{number:,} ({100.0 * number / len(values):.3g} %)"


def _variant_rows(sheet: Sheet) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for series, figures in sheet.variants:
        if figures is None:
            row = (series.name, count(len(series.returns)), "lost everything", *[_MISSING] * 5)
            rows.append(row)
            continue
        shortfall = figures.expected_shortfall_95
        latencies = figures.latencies_us
        rows.append(
            (
                series.name,
                count(figures.bar_count),
                signed_percent(figures.total_return),
                percent(figures.max_drawdown),
                _MISSING if shortfall is None else fine_percent(shortfall),
                count(len(series.model_compute_ns)),
                _microseconds(latencies.get("model_compute_p99", float("nan"))),
                _microseconds(latencies.get("bar_to_order_p99", float("nan"))),
            )
        )
    return rows


def _provenance(sheet: Sheet) -> dict[str, str]:
    facts = sheet.facts
    return {
        "Account": sheet.account,
        "Allocations": ", ".join(
            f"{' + '.join(item.symbols)} {item.cash:,.0f} by {item.policy}"
            for item in read_allocations(facts)
        ),
        "Decided by": ", ".join(sheet.bundles) or "no bundle",
        "Starts of the orchestrator": count(sheet.run_count),
        "Length of a bar": f"{facts['interval_ns'] / 60e9:g} min",
        "Risk policy (SHA-256)": sheet.risk_policy.digest(),
        "Format of the log": str(facts["format_version"]),
    }


def _shares(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name, count(number)) for name, number in counts.items()]


def _microseconds(value: float) -> str:
    if not np.isfinite(value):
        return _MISSING
    if value >= 1e4:
        return f"{value / 1e3:,.0f} ms" if value >= 1e6 else f"{value / 1e3:,.1f} ms"
    return f"{value:,.1f} µs" if value < 1e3 else f"{value:,.0f} µs"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%-d %b %Y %H:%M")
