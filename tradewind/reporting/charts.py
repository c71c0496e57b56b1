"""Charts that reports have in common: growth with drawdown, and how returns are distributed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewind.reporting.style import (
    BENCHMARK,
    FLAT,
    POLICY,
    SHORT,
    Chart,
    axis,
    base_layout,
    decimate,
    encode,
    mark,
    milliseconds,
)

__all__ = [
    "Curve",
    "distribution_chart",
    "growth_chart",
    "line",
    "position_traces",
    "trace",
    "vertical",
]

FloatArray = NDArray[np.float64]

_BINS: Final = 81


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """An account over time.

    Attributes:
        values: Account values, oldest first. Shape [n].
        colour: Of its lines.
        width: Of its lines, in pixels.
    """

    values: FloatArray
    colour: str
    width: float = 2.0


def growth_chart(
    timestamps: FloatArray,
    curves: Mapping[str, Curve],
    drawdown_limit: float | None,
    shapes: Sequence[dict[str, Any]] = (),
) -> Chart:
    """Growth of accounts and drawdown from their peaks, with the limit of the drawdown.

    Args:
        timestamps: Seconds since the epoch. A curve may end before them. Shape [n].
        curves: By name.
        drawdown_limit: Of max_drawdown, as a fraction; None draws no line.
        shapes: What else is drawn, such as `vertical`.
    """
    data: list[dict[str, Any]] = []
    for name, curve in curves.items():
        times = timestamps[: len(curve.values)]
        growth = 100.0 * (curve.values / curve.values[0] - 1.0)
        drawdown = 100.0 * (1.0 - curve.values / np.maximum.accumulate(curve.values))
        stroke = {"color": curve.colour, "width": curve.width}
        data += [
            line(name, times, growth, line=stroke, hovertemplate="%{y:+.2f} %"),
            line(
                name,
                times,
                drawdown,
                line={"color": curve.colour, "width": curve.width * 0.75},
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
        shapes=list(shapes),
    )
    if drawdown_limit is not None:
        level = 100.0 * drawdown_limit
        span = [1e3 * float(timestamps[end]) for end in (0, -1)]
        limits = mark(f"Limit of max_drawdown: {level:g} %", span, [level, level])
        data.append({**limits, "yaxis": "y2"})
    return {"data": data, "layout": layout}


def distribution_chart(
    name: str,
    returns: FloatArray,
    tails: Mapping[str, float],
    benchmark: tuple[str, FloatArray] | None = None,
) -> Chart:
    """How often which return per bar came about, with the tail measures.

    Args:
        name: Whose returns.
        returns: Fractions per bar. Shape [n].
        tails: Losses by name, fractions: VaR and ES.
        benchmark: Name and returns to draw as a line.
    """
    percents = 100.0 * returns
    losses = {label: -100.0 * loss for label, loss in tails.items()}
    others = [] if benchmark is None else [100.0 * benchmark[1]]
    reaches = [float(np.quantile(np.abs(each), 0.999)) for each in (percents, *others)]
    widest = max(*reaches, *(1.2 * abs(loss) for loss in losses.values()), 1e-3)
    edges = np.linspace(-widest, widest, _BINS + 1)
    middles = encode((edges[1:] + edges[:-1]) / 2.0)
    shares = _shares(percents, edges)
    highest = float(shares.max())
    lowest = 100.0 / len(percents)
    data: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": name,
            "x": middles,
            "y": encode(shares),
            "marker": {"color": POLICY, "opacity": 0.55},
            "hovertemplate": "%{y:.3f} % of bars",
        },
    ]
    for other in others:
        assert benchmark is not None
        other_shares = _shares(other, edges)
        highest = max(highest, float(other_shares.max()))
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": benchmark[0],
                "x": middles,
                "y": encode(np.where(other_shares > 0.0, other_shares, np.nan)),
                "line": {"color": BENCHMARK, "width": 2.0, "shape": "hvh"},
                "hovertemplate": "%{y:.3f} % of bars",
            }
        )
    for (label, loss), dash in zip(losses.items(), ("dash", "dot"), strict=False):
        data.append(mark(f"{label}: {-loss:.2f} %", [loss, loss], [lowest / 2.0, highest], dash))
    layout = base_layout(
        400,
        bargap=0.0,
        xaxis=axis("Return of one bar (%)", hoverformat=".2f", range=[-widest, widest]),
        yaxis=axis("Share of bars (%, log scale)", type="log", dtick=1, tickformat="~g"),
    )
    return {"data": data, "layout": layout}


def vertical(at_ms: float) -> dict[str, Any]:
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


def position_traces(
    timestamps: FloatArray,
    prices: FloatArray,
    exposures: FloatArray,
) -> list[dict[str, Any]]:
    """A price coloured by the position held into each close, and the exposure on a second axis.

    Args:
        timestamps: Seconds since the epoch. Shape [n].
        prices: Shape [n].
        exposures: Signed fractions of equity. Shape [n].
    """
    chosen = decimate(prices)
    times, shown = timestamps[chosen], prices[chosen]
    held = np.sign(exposures)[chosen]
    traces = [trace("Flat", times, shown, line={"color": FLAT, "width": 1.25})]
    for name, sign, colour in (("Long", 1.0, POLICY), ("Short", -1.0, SHORT)):
        if (held == sign).any():
            part = np.where(held == sign, shown, np.nan)
            traces.append(trace(name, times, part, line={"color": colour, "width": 2.0}))
    for drawn in traces:
        drawn["hovertemplate"] = "%{y:,.6~g}"
    exposure = line(
        "Exposure",
        timestamps,
        100.0 * exposures,
        line={"color": POLICY, "width": 1.0, "shape": "hv"},
        fill="tozeroy",
        fillcolor="rgba(0,114,178,0.18)",
        yaxis="y2",
        showlegend=False,
        hovertemplate="exposure %{y:.1f} %",
    )
    return [*traces, exposure]


def line(name: str, timestamps: FloatArray, values: FloatArray, **style: Any) -> dict[str, Any]:
    """A line over time of not too many points. Shapes [n]."""
    chosen = decimate(values)
    return trace(name, timestamps[chosen], values[chosen], **style)


def trace(name: str, timestamps: FloatArray, values: FloatArray, **style: Any) -> dict[str, Any]:
    """A line over time; seconds since the epoch. Shapes [n]."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": milliseconds(timestamps),
        "y": encode(values),
        **style,
    }


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percent of the values in each bin, those beyond the ends in the outermost."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return 100.0 * counts / len(values)
