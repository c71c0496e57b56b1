"""The equity and drawdown of several accounts in one picture."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from orchestrator.replay import ReplayResult

__all__ = ["draw_replays"]

_COLORS = ("#0b6e4f", "#8a8d91", "#d98e04", "#3d5a98")


def draw_replays(path: Path, title: str, replays: Mapping[str, ReplayResult]) -> None:
    """Writes a PNG: returns above, drawdowns below, one line per account.

    Args:
        path: The file.
        title: Heading of the picture.
        replays: Accounts by the name in the legend; the first one stands out.
    """
    figure = Figure(figsize=(11, 6.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    returns, drawdowns = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for index, (name, result) in enumerate(replays.items()):
        times = (result.timestamps * 1e6).astype("datetime64[us]")
        color, width = _COLORS[index % len(_COLORS)], 1.8 if index == 0 else 1.0
        order = len(replays) - index
        returns.plot(
            times,
            result.equity / result.equity[0] - 1.0,
            color=color,
            linewidth=width,
            label=f"{name}  {result.total_return:+.1%}",
            zorder=order,
        )
        drawdown = 1.0 - result.equity / np.maximum.accumulate(result.equity)
        drawdowns.plot(times, -drawdown, color=color, linewidth=width, zorder=order)
        if index == 0:
            drawdowns.fill_between(times, -drawdown, 0.0, color=color, alpha=0.15, linewidth=0)
    returns.set_title(title, loc="left", fontsize=12, fontweight="bold")
    returns.set_ylabel("return")
    returns.legend(loc="best", frameon=False)
    drawdowns.set_ylabel("drawdown")
    for axes in (returns, drawdowns):
        axes.margins(x=0.01)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.axhline(0.0, color="#444444", linewidth=0.6)
        axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    drawdowns.xaxis.set_major_formatter(_date_formatter(drawdowns))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _date_formatter(axes: Axes) -> ConciseDateFormatter:
    # Matplotlib's dates module has no annotations.
    return ConciseDateFormatter(axes.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
