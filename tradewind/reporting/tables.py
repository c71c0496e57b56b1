"""What a chart shows, as a table: for whoever does not see it, or has no JavaScript."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewind.reporting.style import Chart

__all__ = ["ChartTable", "chart_table"]

_ROWS: Final = 12
_MISSING: Final = "–"


@dataclass(frozen=True, slots=True)
class ChartTable:
    """The figures of a chart.

    Attributes:
        headings: Of the columns: what the rows are at, then each series with its axis.
        rows: Cells, the first of which names the row.
        named: What the legend names, limits with their values.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    named: tuple[str, ...]


def chart_table(chart: Chart) -> ChartTable:
    """The figures of a chart: all of its bars, or its lines at a dozen places, evenly spaced."""
    layout, data = chart["layout"], chart["data"]
    named = tuple(dict.fromkeys(str(item["name"]) for item in data if "name" in item))
    series = [item for item in data if not _is_mark(item)]
    if series[0].get("orientation") == "h":
        rows = zip(series[0]["y"][::-1], series[0]["text"][::-1], strict=True)
        return ChartTable(("code", _title(layout, "xaxis")), tuple(rows), named or ("counts",))
    headings = (_title(layout, "xaxis"), *(_heading(item, layout) for item in series))
    if isinstance(series[0]["x"], list) and isinstance(series[0]["x"][0], str):
        columns = [[_number(value) for value in item["y"]] for item in series]
        return ChartTable(headings, tuple(zip(series[0]["x"], *columns, strict=True)), named)
    points = [_sorted(_decode(item["x"]), _decode(item["y"])) for item in series]
    longest = max((x for x, _ in points), key=len)
    places = np.unique(np.linspace(0, len(longest) - 1, _ROWS).astype(np.int64))
    is_date = layout["xaxis"].get("type") == "date"
    rows_at = tuple(
        (_time(at) if is_date else _number(at), *(_number(_value_at(x, y, at)) for x, y in points))
        for at in longest[places]
    )
    return ChartTable(headings, rows_at, named)


def _is_mark(item: Mapping[str, Any]) -> bool:
    """A straight line, whose name says its value."""
    return item["type"] == "scatter" and item.get("hoverinfo") == "skip"


def _title(layout: Mapping[str, Any], axis: str) -> str:
    title = str(layout[axis]["title"]["text"])
    return title or ("Time (UTC)" if layout[axis].get("type") == "date" else "")


def _heading(item: Mapping[str, Any], layout: Mapping[str, Any]) -> str:
    of = _title(layout, item.get("yaxis", "y").replace("y", "yaxis", 1))
    name = str(item.get("name", ""))
    if of.startswith(name):
        return of
    return f"{name} · {of}" if of else name


def _decode(values: Mapping[str, str] | Sequence[float]) -> NDArray[np.float64]:
    if isinstance(values, Mapping):
        raw = base64.b64decode(values["bdata"])
        return np.frombuffer(raw, dtype=f"<{values['dtype']}").astype(np.float64)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _sorted(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    order = np.argsort(x, kind="stable")
    return x[order], y[order]


def _value_at(x: NDArray[np.float64], y: NDArray[np.float64], at: float) -> float:
    """The last value until then; none before the first point and after the last."""
    place = int(np.searchsorted(x, at, side="right")) - 1
    return float(y[place]) if place >= 0 and at <= x[-1] else float("nan")


def _number(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return _MISSING
    text = f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.4g}"
    return text.replace("-", "−")


def _time(milliseconds: float) -> str:
    return datetime.fromtimestamp(milliseconds / 1e3, tz=UTC).strftime("%Y-%m-%d %H:%M")
