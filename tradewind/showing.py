"""Tables of what there is to say, for a notebook and for a terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Table", "evaluation_table", "figures_table", "html_of", "number"]

_BASELINES: Final = ("buy_and_hold", "random", "always_flat")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings.

    Attributes:
        columns: The headings; those of numbers start with `>`.
        rows: A text for each column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def html_of(title: str, facts: Mapping[str, str], *tables: Table) -> str:
    """HTML that stands by itself: every text is escaped, and nothing is fetched.

    Args:
        title: What is shown.
        facts: What is said of it, by name.
        tables: What follows.
    """
    lines = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in facts.items()
        if value
    )
    parts = [f"<strong>{escape(title)}</strong>", f"<table><tbody>{lines}</tbody></table>"]
    return f"<div>{''.join((*parts, *map(_table_html, tables)))}</div>"


def _table_html(table: Table) -> str:
    sides = ["right" if column.startswith(">") else "left" for column in table.columns]
    head = _row("th", [column.removeprefix(">") for column in table.columns], sides)
    body = "".join(_row("td", row, sides) for row in table.rows)
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _row(tag: str, cells: "tuple[str, ...] | list[str]", sides: list[str]) -> str:
    scope = " scope='col'" if tag == "th" else ""
    shown = zip(cells, sides, strict=True)
    inner = (
        f"<{tag}{scope} style='text-align:{side}'>{escape(cell)}</{tag}>" for cell, side in shown
    )
    return f"<tr>{''.join(inner)}</tr>"


def number(value: float | None) -> str:
    """Four digits; empty for none."""
    return "" if value is None else f"{value:.4g}"


def figures_table(heading: str, figures: Mapping[str, float]) -> Table:
    """Figures by name."""
    rows = tuple((name, f"{value:.6g}") for name, value in figures.items())
    return Table((heading, ">value"), rows)


def evaluation_table(figures: Mapping[str, float]) -> Table:
    """The figures of an evaluation: the policy with its interval, beside the baselines."""
    prefixes = tuple(f"{baseline}_" for baseline in _BASELINES)
    own = [
        name
        for name in figures
        if not name.startswith(prefixes) and not name.endswith(("_low", "_high"))
    ]
    return Table(
        ("held-out bars", ">policy", "interval", *(f">{name}" for name in _BASELINES)),
        tuple(
            (
                name,
                number(figures.get(name)),
                _interval(figures, name),
                *(number(figures.get(f"{baseline}_{name}")) for baseline in _BASELINES),
            )
            for name in own
        ),
    )


def _interval(figures: Mapping[str, float], name: str) -> str:
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    return "" if low is None or high is None else f"{number(low)} … {number(high)}"
