"""What all charts of a report have in common.

Charts are the plain JSON that plotly.js draws: https://plotly.com/javascript/reference/
"""

import base64
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BENCHMARK",
    "FLAT",
    "LIMIT",
    "POLICY",
    "SHORT",
    "SYMBOLS",
    "Chart",
    "axis",
    "base_layout",
    "decimate",
    "encode",
    "mark",
    "milliseconds",
]

Chart = dict[str, Any]
"""`data` and `layout` of one plotly.js figure."""

# Okabe and Ito's palette, which colour-blind readers can tell apart.
POLICY: Final = "#0072B2"
BENCHMARK: Final = "#E69F00"
LIMIT: Final = "#D55E00"
SHORT: Final = "#CC79A7"
FLAT: Final = "#9AA5B1"
SYMBOLS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")

_POINTS: Final = 4_000


def encode(values: NDArray[Any]) -> dict[str, str]:
    """An array as plotly.js reads it from JSON: float32 in base64; NaN is a gap."""
    array = np.ascontiguousarray(values, dtype="<f4")
    return {"dtype": "f4", "bdata": base64.b64encode(array.tobytes()).decode()}


def milliseconds(timestamps: NDArray[np.float64]) -> dict[str, str]:
    """Seconds since the epoch as plotly.js reads dates."""
    array = np.ascontiguousarray(timestamps * 1e3, dtype="<f8")
    return {"dtype": "f8", "bdata": base64.b64encode(array.tobytes()).decode()}


def decimate(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of at most 4,000 values that draw the same line: the extremes of every stretch."""
    count = len(values)
    if count <= _POINTS:
        return np.arange(count)
    edges = np.linspace(0, count, _POINTS // 2 - 1, dtype=np.int64)
    chosen = [np.array([0, count - 1])]
    for start, stop in pairwise(edges):
        part = values[start:stop]
        chosen.append(np.array([start + part.argmin(), start + part.argmax()]))
    return np.unique(np.concatenate(chosen))


def base_layout(height: int, **changes: Any) -> dict[str, Any]:
    """A layout with our fonts and margins; `changes` win. Colours but the data's are the page's."""
    return {
        "height": height,
        "margin": {"l": 72, "r": 24, "t": 16, "b": 44},
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13},
        "colorway": [POLICY, BENCHMARK, LIMIT, "#009E73", SHORT, "#56B4E9"],
        "hovermode": "x unified",
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        **changes,
    }


def axis(title: str, **changes: Any) -> dict[str, Any]:
    """An axis with a title, units included."""
    return {
        "title": {"text": title, "standoff": 10, "font": {"size": 12.5}},
        "zeroline": False,
        "automargin": True,
        **changes,
    }


def mark(name: str, x: Sequence[float], y: Sequence[float], dash: str = "dash") -> dict[str, Any]:
    """A straight line of its own colour from point to point, named in the legend."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": LIMIT, "width": 1.75, "dash": dash},
        "hoverinfo": "skip",
    }
