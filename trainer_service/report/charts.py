"""The charts of a held-out evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewind.reporting.charts import (
    Curve,
    distribution_chart,
    growth_chart,
    line,
    position_traces,
    vertical,
)
from tradewind.reporting.style import (
    BENCHMARK,
    POLICY,
    SYMBOLS,
    Chart,
    axis,
    base_layout,
)
from tradewind.risk import RiskPolicy
from trainer_service.evaluation import Episode, HeldOutEvaluation

__all__ = ["curve_chart", "equity_chart", "position_chart", "return_chart"]

_CURVE_STYLES: Final = {"Policy": (POLICY, 2.0), "Buy and hold": (BENCHMARK, 1.5)}


def equity_chart(evaluation: HeldOutEvaluation, risk_policy: RiskPolicy) -> Chart:
    """Growth of the account and drawdown from its peak, over buy-and-hold's."""
    curves = {"Buy and hold": evaluation.buy_and_hold.equity, "Policy": evaluation.policy.equity}
    return curve_chart(evaluation.policy.timestamps, curves, risk_policy)


def curve_chart(
    timestamps: NDArray[np.float64],
    curves: Mapping[str, NDArray[np.float64]],
    risk_policy: RiskPolicy,
    marks: Sequence[float] = (),
) -> Chart:
    """Growth and drawdown of "Policy" and "Buy and hold"; see growth_chart.

    Args:
        timestamps: Seconds since the epoch. A curve may end before them. Shape [n].
        curves: Account values by name.
        risk_policy: The risk policy, for its limit.
        marks: Times of vertical lines, seconds since the epoch.
    """
    styled = {name: Curve(values, *_CURVE_STYLES[name]) for name, values in curves.items()}
    limit = risk_policy.limits.get("max_drawdown")
    shapes = [vertical(1e3 * at) for at in marks]
    return growth_chart(timestamps, styled, None if limit is None else limit.limit, shapes)


def position_chart(evaluation: HeldOutEvaluation) -> Chart:
    """The price, coloured by the position held, over the exposure; several symbols as lines."""
    episode = evaluation.policy
    if len(episode.symbols) > 1:
        return _positions_chart(episode)
    price, exposure = episode.prices[:, 0], episode.exposures[:, 0]
    data = position_traces(episode.timestamps, price, exposure)
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
        stroke = {"color": SYMBOLS[column % len(SYMBOLS)], "width": 1.25}
        price = episode.prices[:, column]
        data += [
            line(
                symbol,
                episode.timestamps,
                100.0 * (price / price[0] - 1.0),
                line=stroke,
                legendgroup=symbol,
                hovertemplate="%{y:+.1f} %",
            ),
            line(
                symbol,
                episode.timestamps,
                100.0 * episode.exposures[:, column],
                line={**stroke, "shape": "hv"},
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


def return_chart(evaluation: HeldOutEvaluation) -> Chart:
    """How often which return per bar came about, with the tail measures."""
    tails = {
        name: evaluation.figures[metric]
        for name, metric in (("VaR 95 %", "var_95"), ("ES 95 %", "expected_shortfall_95"))
        if metric in evaluation.figures
    }
    hold = ("Buy and hold", evaluation.buy_and_hold.returns)
    return distribution_chart("Policy", evaluation.policy.returns, tails, hold)
