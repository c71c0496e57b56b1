"""How figures are written: forms of numbers, and tiles."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = [
    "Tile",
    "count",
    "fine_percent",
    "limit_tile",
    "percent",
    "ratio",
    "signed_percent",
    "times",
]


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the figures at the top.

    Attributes:
        label: What it is.
        value: The policy's.
        note: What it has to be seen beside.
        breach: It is above the limit that the note gives.
    """

    label: str
    value: str
    note: str
    breach: bool = False


def signed_percent(value: float) -> str:
    """A change: "+12.3 %"."""
    sign = "+" if round(value, 3) else ""
    return f"{100.0 * value:{sign},.1f} %".replace("-", "−")


def percent(value: float) -> str:
    """A share: "12.3 %"."""
    return f"{100.0 * value:,.1f} %".replace("-", "−")


def fine_percent(value: float) -> str:
    """A small share: "0.78 %"."""
    return f"{100.0 * value:,.2f} %".replace("-", "−")


def ratio(value: float) -> str:
    """A ratio with its sign: "−0.27"."""
    return f"{value:.2f}".replace("-", "−")


def count(value: float) -> str:
    """A count, of means as well: "2,308"."""
    return f"{value:,.0f}"


def times(value: float) -> str:
    """A multiple: "6.60 ×"."""
    return f"{value:,.2f} ×"


def limit_tile(label: str, value: float, limit: float | None, form: Callable[[float], str]) -> Tile:
    """A figure beside its limit, in the same form."""
    if limit is None:
        return Tile(label, form(value), "no limit set")
    breach = value > limit
    return Tile(label, form(value), f"{'above the ' if breach else ''}limit {form(limit)}", breach)
