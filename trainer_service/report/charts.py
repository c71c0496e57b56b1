"""The charts of a held-out evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewind.risk import RiskPolicy
from trainer_service.evaluation import Episode, Evaluation
from trainer_service.report.style import (
    BENCHMARK,
    FLAT,
    POLICY,
    SHORT,
    SYMBOLS,
    Chart,
    axis,
    base_layout,
    decimate,
    encode,
    mark,
    milliseconds,
)

__all__ = ["curve_chart", "equity_chart", "position_chart", "return_chart"]

_BINS: Final = 81


_CURVE_STYLES: Final = {"Policy": (POLICY, 2.0), "Buy and hold": (BENCHMARK, 1.5)}


def equity_chart(evaluation: Evaluation, risk_policy: RiskPolicy) -> Chart:
    """Growth of the account and drawdown from its peak, over buy-and-hold's."""
    curves = {"Buy and hold": evaluation.buy_and_hold.equity, "Policy": evaluation.policy.equity}
    return curve_chart(evaluation.policy.timestamps, curves, risk_policy)


def curve_chart(
    timestamps: NDArray[np.float64],
    curves: Mapping[str, NDArray[np.float64]],
    risk_policy: RiskPolicy,
    marks: Sequence[float] = (),
) -> Chart:
    """Growth of accounts and drawdown from their peaks, with the limit of the drawdown.

    Args:
        timestamps: Seconds since the epoch. A curve may end before them. Shape [n].
        curves: Account values by name: "Policy" and "Buy and hold".
        risk_policy: The risk policy, for its limit.
        marks: Times of vertical lines, seconds since the epoch.
    """
    data: list[dict[str, Any]] = []
    for name, values in curves.items():
        colour, width = _CURVE_STYLES[name]
        times = timestamps[: len(values)]
        growth = 100.0 * (values / values[0] - 1.0)
        drawdown = 100.0 * (1.0 - values / np.maximum.accumulate(values))
        line = {"color": colour, "width": width}
        data += [
            _line(name, times, growth, line=line, hovertemplate="%{y:+.2f} %"),
            _line(
                name,
                times,
                drawdown,
                line={"color": colour, "width": width * 0.75},
                yaxis="y2",
                hovertemplate="drawdown %{y:.2f} %",
                showlegend=False,
            ),
        ]
    layout = base_layout(
        560,
        xaxis=axis("Time (UTC)", type="date", anchor="y2"),
        yaxis=axis("Return after costs (%)", domain=[0.42, 1.0]),
        yaxis2=axis("Drawdown (%)", domain=[0.0, 0.34], autorange="reversed"),
        shapes=[_vertical(1e3 * at) for at in marks],
    )
    limit = risk_policy.limits.get("max_drawdown")
    if limit is not None:
        level = 100.0 * limit.limit
        span = [1e3 * float(timestamps[end]) for end in (0, -1)]
        limits = mark(f"Limit of max_drawdown: {level:g} %", span, [level, level])
        data.append({**limits, "yaxis": "y2"})
    return {"data": data, "layout": layout}


def _vertical(at_ms: float) -> dict[str, Any]:
    """A dotted line over the whole height of the chart."""
    return {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": at_ms,
        "x1": at_ms,
        "y0": 0,
        "y1": 1,
        "line": {"color": FLAT, "width": 1, "dash": "dot"},
    }


def position_chart(evaluation: Evaluation) -> Chart:
    """The price, coloured by the position held, over the exposure; several symbols as lines."""
    episode = evaluation.policy
    if len(episode.symbols) > 1:
        return _positions_chart(episode)
    price, exposure = episode.prices[:, 0], episode.exposures[:, 0]
    chosen = decimate(price)
    times, prices = episode.timestamps[chosen], price[chosen]
    # A bar's colour is what was held into its close.
    held = np.sign(exposure)[chosen]
    data = [_line("Flat", times, prices, line={"color": FLAT, "width": 1.25})]
    for name, sign, colour in (("Long", 1.0, POLICY), ("Short", -1.0, SHORT)):
        if (held == sign).any():
            part = np.where(held == sign, prices, np.nan)
            data.append(_trace(name, times, part, line={"color": colour, "width": 2.0}))
    for trace in data:
        trace["hovertemplate"] = "%{y:,.6~g}"
    data.append(
        _line(
            "Exposure",
            episode.timestamps,
            100.0 * exposure,
            line={"color": POLICY, "width": 1.0, "shape": "hv"},
            fill="tozeroy",
            fillcolor="rgba(0,114,178,0.18)",
            yaxis="y2",
            showlegend=False,
            hovertemplate="exposure %{y:.1f} %",
        )
    )
    layout = base_layout(
        520,
        xaxis=axis("Time (UTC)", type="date", anchor="y2"),
        yaxis=axis("Close (account currency)", domain=[0.36, 1.0], tickformat="~s"),
        yaxis2=axis("Exposure (%)", domain=[0.0, 0.28], rangemode="tozero"),
    )
    return {"data": data, "layout": layout}


def _positions_chart(episode: Episode) -> Chart:
    data: list[dict[str, Any]] = []
    for column, symbol in enumerate(episode.symbols):
        line = {"color": SYMBOLS[column % len(SYMBOLS)], "width": 1.25}
        price = episode.prices[:, column]
        data += [
            _line(
                symbol,
                episode.timestamps,
                100.0 * (price / price[0] - 1.0),
                line=line,
                legendgroup=symbol,
                hovertemplate="%{y:+.1f} %",
            ),
            _line(
                symbol,
                episode.timestamps,
                100.0 * episode.exposures[:, column],
                line={**line, "shape": "hv"},
                legendgroup=symbol,
                showlegend=False,
                yaxis="y2",
                hovertemplate="exposure %{y:.1f} %",
            ),
        ]
    layout = base_layout(
        560,
        xaxis=axis("Time (UTC)", type="date", anchor="y2"),
        yaxis=axis("Growth of the price (%)", domain=[0.5, 1.0]),
        yaxis2=axis("Exposure (%)", domain=[0.0, 0.42], rangemode="tozero"),
    )
    return {"data": data, "layout": layout}


def return_chart(evaluation: Evaluation) -> Chart:
    """How often which return per bar came about, with the tail measures."""
    policy = 100.0 * evaluation.policy.returns
    hold = 100.0 * evaluation.buy_and_hold.returns
    tails = {
        name: -100.0 * evaluation.figures[metric]
        for name, metric in (("VaR 95 %", "var_95"), ("ES 95 %", "expected_shortfall_95"))
        if metric in evaluation.figures
    }
    reaches = [float(np.quantile(np.abs(returns), 0.999)) for returns in (policy, hold)]
    widest = max(*reaches, *(1.2 * abs(tail) for tail in tails.values()), 1e-3)
    edges = np.linspace(-widest, widest, _BINS + 1)
    middles = encode((edges[1:] + edges[:-1]) / 2.0)
    shares, hold_shares = _shares(policy, edges), _shares(hold, edges)
    highest = float(max(shares.max(), hold_shares.max()))
    lowest = 100.0 / len(policy)
    data: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": "Policy",
            "x": middles,
            "y": encode(shares),
            "marker": {"color": POLICY, "opacity": 0.55},
            "hovertemplate": "%{y:.3f} % of bars",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "Buy and hold",
            "x": middles,
            "y": encode(np.where(hold_shares > 0.0, hold_shares, np.nan)),
            "line": {"color": BENCHMARK, "width": 2.0, "shape": "hvh"},
            "hovertemplate": "%{y:.3f} % of bars",
        },
    ]
    for (name, tail), dash in zip(tails.items(), ("dash", "dot"), strict=False):
        data.append(mark(f"{name}: {-tail:.2f} %", [tail, tail], [lowest / 2.0, highest], dash))
    layout = base_layout(
        400,
        bargap=0.0,
        xaxis=axis("Return of one bar (%)", hoverformat=".2f", range=[-widest, widest]),
        yaxis=axis("Share of bars (%, log scale)", type="log", dtick=1, tickformat="~g"),
    )
    return {"data": data, "layout": layout}


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percent of the values in each bin, those beyond the ends in the outermost."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return 100.0 * counts / len(values)


def _line(
    name: str, timestamps: NDArray[np.float64], values: NDArray[np.float64], **style: Any
) -> dict[str, Any]:
    chosen = decimate(values)
    return _trace(name, timestamps[chosen], values[chosen], **style)


def _trace(
    name: str, timestamps: NDArray[np.float64], values: NDArray[np.float64], **style: Any
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": milliseconds(timestamps),
        "y": encode(values),
        **style,
    }
