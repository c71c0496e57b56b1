"""The charts of a tearsheet."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from orchestrator.account.portfolio import read_allocations
from orchestrator.analysis.comparison import VariantSeries
from orchestrator.analysis.tearsheet.sheet import Halt, Sheet, SymbolTrades
from tradewind.constants import MAX_PREDICTION_LATENCY_US
from tradewind.reporting.charts import (
    Curve,
    distribution_chart,
    growth_chart,
    line,
    position_traces,
)
from tradewind.reporting.style import (
    BENCHMARK,
    LIMIT,
    POLICY,
    SYMBOLS,
    Chart,
    axis,
    base_layout,
    encode,
    mark,
)
from tradewind.risk import FloatArray

__all__ = [
    "cost_chart",
    "count_chart",
    "equity_chart",
    "latency_chart",
    "position_chart",
    "return_chart",
    "variant_chart",
]

_LATENCY_POINTS: Final = 400


def equity_chart(sheet: Sheet) -> Chart:
    """Growth and drawdown of the account beside holding its symbols; halts are shaded."""
    curves = {"Account": Curve(sheet.equity, POLICY)}
    held = _buy_and_hold(sheet)
    if held is not None:
        curves = {"Buy and hold, no costs": Curve(held, BENCHMARK, 1.5), **curves}
    limit = sheet.risk_policy.limits.get("max_drawdown")
    return growth_chart(
        sheet.seconds, curves, None if limit is None else limit.limit, _shades(sheet.halts)
    )


def return_chart(sheet: Sheet) -> Chart:
    """The account's returns per bar with VaR and ES."""
    tails = {
        name: value
        for name, value in (
            ("VaR 95 %", sheet.summary.var_95),
            ("ES 95 %", sheet.summary.expected_shortfall_95),
        )
        if value is not None
    }
    return distribution_chart("Account", sheet.equity[1:] / sheet.equity[:-1] - 1.0, tails)


def position_chart(sheet: Sheet, trades: SymbolTrades) -> Chart:
    """A symbol's price, coloured by the position held, over its share of the equity."""
    known = np.isfinite(trades.prices)
    seconds, prices = sheet.seconds[known], trades.prices[known]
    data = position_traces(seconds, prices, trades.exposures[known])
    layout = base_layout(
        320,
        margin={"l": 64, "r": 16, "t": 24, "b": 36},
        xaxis=axis("", type="date", anchor="y2", nticks=6),
        yaxis=axis("Close", domain=[0.4, 1.0], nticks=5, tickformat=",~g"),
        yaxis2=axis("Exposure (%)", domain=[0.0, 0.3], rangemode="tozero", nticks=4),
        shapes=_shades(sheet.halts),
    )
    return {"data": data, "layout": layout}


def cost_chart(sheet: Sheet) -> Chart:
    """Fees and slippage so far, one upon the other."""
    both = sheet.fees + sheet.slippage
    data = [
        line(
            "Fees",
            sheet.seconds,
            sheet.fees,
            line={"color": POLICY, "width": 1.75},
            hovertemplate="%{y:,.2f}",
        ),
        line(
            "Fees and slippage",
            sheet.seconds,
            both,
            line={"color": BENCHMARK, "width": 1.75},
            hovertemplate="%{y:,.2f}",
        ),
    ]
    layout = base_layout(
        300,
        xaxis=axis("Time (UTC)", type="date"),
        yaxis=axis("Account currency, so far", rangemode="tozero", tickformat=",~g"),
    )
    return {"data": data, "layout": layout}


def count_chart(counts: Mapping[str, int], unit: str) -> Chart:
    """How often what came about: bars with their counts, the most frequent on top."""
    names = list(counts)[::-1]
    values = [counts[name] for name in names]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "x": values,
            "y": names,
            "text": [f"{value:,}" for value in values],
            "textposition": "outside",
            "cliponaxis": False,
            "marker": {"color": POLICY, "opacity": 0.75},
            "hoverinfo": "skip",
        }
    ]
    layout = base_layout(
        60 + 30 * max(len(names), 2),
        margin={"l": 16, "r": 64, "t": 8, "b": 36},
        bargap=0.35,
        xaxis=axis(unit, tickformat="~s", rangemode="tozero", nticks=6),
        yaxis=axis("", showgrid=False),
    )
    return {"data": data, "layout": layout}


def latency_chart(latencies_us: Mapping[str, FloatArray], budget_us: float | None) -> Chart:
    """What share of the ticks took longer than a time, both on log scales."""
    data: list[dict[str, Any]] = []
    lowest = min(1.0 / len(values) for values in latencies_us.values())
    for number, (name, values) in enumerate(latencies_us.items()):
        ordered = np.sort(values)
        # Evenly spaced on the log scale of the share: the tail is what matters.
        ranks = np.unique(np.geomspace(1, len(ordered), _LATENCY_POINTS).astype(np.int64))
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": encode(ordered[len(ordered) - ranks]),
                "y": encode(100.0 * ranks / len(ordered)),
                "line": {"color": SYMBOLS[number % len(SYMBOLS)], "width": 2.0},
                "hovertemplate": "%{y:.3~g} % above %{x:,.1f} µs",
            }
        )
    slo = float(MAX_PREDICTION_LATENCY_US)
    ends = [100.0 * lowest, 100.0]
    data.append(mark(f"Model SLO: {slo:g} µs", [slo, slo], ends))
    if budget_us is not None:
        name = f"Tick budget: {budget_us / 1e3:,g} ms"
        data.append(mark(name, [budget_us, budget_us], ends, "dot"))
    layout = base_layout(
        400,
        hovermode="closest",
        xaxis=axis(
            "Time (log scale)",
            type="log",
            tickvals=[10.0**power for power in range(8)],
            ticktext=["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"],
        ),
        yaxis=axis("Share that took longer (%, log scale)", type="log", dtick=1, tickformat="~g"),
    )
    return {"data": data, "layout": layout}


def variant_chart(variants: Sequence[VariantSeries]) -> Chart:
    """Growth of each variant on its share of the account."""
    data = [
        line(
            series.name,
            series.close_ns / 1e9,
            np.asarray(100.0 * (np.cumprod(1.0 + series.returns) - 1.0), dtype=np.float64),
            line={"color": SYMBOLS[number % len(SYMBOLS)], "width": 1.75},
            hovertemplate="%{y:+.2f} %",
        )
        for number, series in enumerate(variants)
    ]
    layout = base_layout(
        340,
        showlegend=True,
        xaxis=axis("Time (UTC)", type="date"),
        yaxis=axis("Return after costs (%)"),
    )
    return {"data": data, "layout": layout}


def _buy_and_hold(sheet: Sheet) -> FloatArray | None:
    """The allocations' cash, all of it in their symbols, in equal parts, from first closes on."""
    cash = {
        symbol: item.cash / len(item.symbols)
        for item in read_allocations(sheet.facts)
        for symbol in item.symbols
    }
    worth = np.zeros(len(sheet.equity))
    for trades in sheet.symbols:
        known = np.flatnonzero(np.isfinite(trades.prices))
        growth = np.ones(len(trades.prices))
        growth[known] = trades.prices[known] / trades.prices[known[0]]
        worth += cash.get(trades.symbol, 0.0) * growth
    return worth if worth.any() else None


def _shades(halts: Sequence[Halt]) -> list[dict[str, Any]]:
    return [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": 1e3 * halt.first_s,
            "x1": 1e3 * halt.last_s,
            "y0": 0,
            "y1": 1,
            "fillcolor": LIMIT,
            "opacity": 0.08,
            "line": {"width": 0},
            "layer": "below",
        }
        for halt in halts
    ]
