"""The tables and sentences of a report: figures as people read them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tradewind.reporting.figures import (
    Tile,
    count,
    fine_percent,
    limit_tile,
    percent,
    ratio,
    signed_percent,
    times,
)
from trainer_service.callbacks.multipliers import FEWEST_UPDATES
from trainer_service.evaluation import BASELINES

__all__ = [
    "Cell",
    "Row",
    "figure_cell",
    "figure_rows",
    "tiles",
    "verdicts",
]

_MISSING: Final = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a table.

    Attributes:
        text: The value.
        interval: Its confidence interval; empty when it has none.
    """

    text: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the policy and of each baseline.

    Attributes:
        label: What it is.
        help: How it is defined.
        cells: The policy's, then the baselines' in the order of BASELINES.
    """

    label: str
    help: str
    cells: tuple[Cell, ...]


_Form = Callable[[float], str]
_FIGURES: Final[tuple[tuple[str, str, _Form, str], ...]] = (
    ("return", "Return", signed_percent, "last account value / first − 1, after all costs"),
    ("sharpe", "Sharpe ratio", ratio, "annualised, risk-free rate 0"),
    ("sortino", "Sortino ratio", ratio, "annualised, over the downside deviation"),
    ("volatility", "Volatility", percent, "annualised standard deviation of the returns"),
    ("max_drawdown", "Max drawdown", percent, "largest loss from a running peak"),
    ("var_95", "VaR 95 % per bar", fine_percent, "loss exceeded in 5 % of the bars"),
    (
        "expected_shortfall_95",
        "Expected shortfall 95 % per bar",
        fine_percent,
        "mean loss of the worst 5 % of the bars",
    ),
    ("trades", "Trades", count, "fills"),
    ("turnover_per_day", "Turnover per day", times, "notional traded, in units of capital"),
    ("exposure", "Exposure", percent, "mean absolute position, as a share of equity"),
    ("costs", "Costs", fine_percent, "all of them, as a share of the initial capital"),
)
_COMPONENTS: Final[tuple[tuple[str, str, _Form, str], ...]] = (
    ("costs_fees", "– fees", fine_percent, "of the fills"),
    ("costs_slippage", "– slippage", fine_percent, "fixed, and the rounding to the tick"),
    ("costs_spread", "– spread", fine_percent, "half the quoted spread of every fill"),
    ("costs_impact", "– impact", fine_percent, "by the square-root law"),
    ("costs_funding", "– funding", fine_percent, "paid by longs to shorts; below 0: received"),
    ("costs_borrow", "– borrowing", fine_percent, "of what was sold short"),
    ("refused_trades", "Refused trades", count, "below the lot or the smallest order"),
)


def figure_rows(figures: Mapping[str, float]) -> list[Row]:
    """The summary table: every figure of `measure_performance`, one row each."""
    prefixes = ("", *(f"{baseline}_" for baseline in BASELINES))
    return [
        Row(
            label,
            help_text,
            tuple(figure_cell(figures, f"{prefix}{name}", form) for prefix in prefixes),
        )
        for name, label, form, help_text in (
            *_FIGURES,
            *(component for component in _COMPONENTS if component[0] in figures),
        )
    ]


def tiles(figures: Mapping[str, float], limits: Mapping[str, float]) -> list[Tile]:
    """The figures that matter most, each beside what it has to be judged by."""
    made = [
        _interval_tile(figures, "return", "Return", signed_percent),
        _interval_tile(figures, "excess_return", "Over buy and hold", signed_percent),
        _interval_tile(figures, "sharpe", "Sharpe ratio", ratio),
    ]
    if "deflated_sharpe" in figures:
        trials = count(figures["trials"])
        note = "a single trial" if trials == "1" else f"best of {trials} trials"
        made.append(Tile("Deflated Sharpe", percent(figures["deflated_sharpe"]), note))
    for name, label, form in (
        ("max_drawdown", "Max drawdown", percent),
        ("expected_shortfall_95", "ES 95 % per bar", fine_percent),
    ):
        if name in figures:
            made.append(limit_tile(label, figures[name], limits.get(name), form))
    return made


def verdicts(figures: Mapping[str, float]) -> list[str]:
    """What the intervals allow to be said, in sentences."""
    said = []
    if "excess_return_low" in figures:
        low, high = figures["excess_return_low"], figures["excess_return_high"]
        interval = (
            f"The {100.0 * figures['confidence']:g} % interval of the return over buy and hold is "
            f"{signed_percent(low)} to {signed_percent(high)}"
        )
        if low > 0.0:
            said.append(f"{interval}: better than buy and hold, beyond what chance explains.")
        elif high < 0.0:
            said.append(f"{interval}: worse than buy and hold, beyond what chance explains.")
        else:
            said.append(
                f"{interval}. It includes 0: these bars do not tell the policy from buy and hold."
            )
    said += _constraint_verdicts(figures)
    if "deflated_sharpe" in figures:
        probability = figures["deflated_sharpe"]
        trials = count(figures["trials"])
        against = (
            "above 0"
            if trials == "1"
            else f"above what the best of {trials} trials without skill would show"
        )
        enough = "" if probability >= 0.95 else " Below 95 % that is no evidence of skill."
        said.append(
            f"The Sharpe ratio is {against} with probability {percent(probability)}.{enough}"
        )
    return said


def _constraint_verdicts(figures: Mapping[str, float]) -> list[str]:
    """Whether the constraints were kept, in training and on the held-out bars."""
    said = []
    for prefix, where in (
        ("", "in the latest episodes of the training"),
        ("held_out_", "in episodes of that length on the held-out bars"),
    ):
        if f"{prefix}constraint_satisfied" not in figures:
            continue
        start, other = f"{prefix}constraint_", ("satisfied", "updates", "episodes")
        means = ", ".join(
            f"{name.removeprefix(start).replace('_', ' ')} at {ratio(value)} of its limit"
            for name, value in sorted(figures.items())
            if name.startswith(start) and name.removeprefix(start) not in other
        )
        kept = "kept" if figures[f"{prefix}constraint_satisfied"] else "broken"
        said.append(f"The constraints were {kept} {where}: {means or 'never known'}.")
    updates = figures.get("constraint_updates")
    if updates is not None and updates < FEWEST_UPDATES:
        said.append(
            f"The multipliers were updated {count(updates)} times only: the constraints could "
            "hardly adapt."
        )
    return said


def _interval_tile(figures: Mapping[str, float], name: str, label: str, form: _Form) -> Tile:
    cell = figure_cell(figures, name, form)
    return Tile(label, cell.text, cell.interval or "no interval")


def figure_cell(figures: Mapping[str, float], name: str, form: _Form) -> Cell:
    """A figure with its interval, or a dash for one that there is not."""
    if name not in figures:
        return Cell(_MISSING)
    interval = ""
    if f"{name}_low" in figures:
        interval = f"{form(figures[f'{name}_low'])} to {form(figures[f'{name}_high'])}"
    return Cell(form(figures[name]), interval)
