"""`tradewind compare`: two variants side by side, asked as often as one likes."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradewind_cli.output import JsonOption, print_fields, print_json, print_table, refusal

if TYPE_CHECKING:
    from orchestrator.analysis.comparison import Comparison, VariantFigures, VariantSeries

__all__ = ["compare"]


def compare(
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG...",
            help="Decision logs: one whose account the variants shared, or one for each variant.",
        ),
    ],
    champion: Annotated[
        str | None, typer.Option(help="The variant to compare with; by default the first.")
    ] = None,
    challenger: Annotated[
        str | None, typer.Option(help="The variant to judge; by default the other one.")
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Chance of ever telling two equal variants apart.")
    ] = 0.05,
    first_bars: Annotated[int, typer.Option(help="Bars before there is a verdict.")] = 200,
    best_bars: Annotated[
        int, typer.Option(help="Bars at which the test is most sensitive.")
    ] = 5_000,
    as_json: JsonOption = False,
) -> None:
    """Compares the returns of two variants with a test that may be looked at after every bar.

    Choose --alpha, --first-bars and --best-bars before the first look, and keep them.
    """
    from orchestrator.analysis.comparison import ComparisonSettings, measure_variant
    from orchestrator.analysis.comparison import compare as run_test
    from tradewind.settings import parse_settings

    values = {"alpha": alpha, "first_bars": first_bars, "best_bars": best_bars}
    settings = parse_settings(values, ComparisonSettings, source="the command line")
    pair = _choose(_read(logs), champion, challenger)
    found = run_test(*pair, settings)
    figures = [measure_variant(series) for series in pair]
    if as_json:
        print_json(_document(pair, figures, found))
        return
    _print_figures(pair, figures)
    _print_verdict(found, alpha)


def _read(logs: list[Path]) -> "dict[str, VariantSeries]":
    from orchestrator.analysis.comparison import read_account, split_variants
    from orchestrator.decision_log import DecisionLog

    if len(logs) == 1:
        return {series.name: series for series in split_variants(DecisionLog(logs[0]))}
    names = [log.name for log in logs]
    if len(set(names)) < len(names):
        names = [str(log) for log in logs]
    return {
        name: read_account(DecisionLog(log), name) for name, log in zip(names, logs, strict=True)
    }


def _choose(
    found: "dict[str, VariantSeries]", champion: str | None, challenger: str | None
) -> "tuple[VariantSeries, VariantSeries]":
    there = ", ".join(found)
    for option, name in (("--champion", champion), ("--challenger", challenger)):
        if name is not None and name not in found:
            raise refusal(option, f"{name!r} is not among the variants: {there}")
    rest = [name for name in found if name not in (champion, challenger)]
    first = champion or (rest.pop(0) if rest else None)
    if challenger is None and len(rest) != 1:
        raise refusal("--challenger", f"name one of the variants: {there}")
    second = challenger or rest[0]
    if first is None or first == second:
        raise refusal("--champion", f"name another of the variants: {there}")
    return found[first], found[second]


def _document(
    pair: "tuple[VariantSeries, VariantSeries]",
    figures: "list[VariantFigures]",
    found: "Comparison",
) -> dict[str, object]:
    sequence = found.sequence
    return {
        "champion": {"variant": pair[0].name, **dataclasses.asdict(figures[0])},
        "challenger": {"variant": pair[1].name, **dataclasses.asdict(figures[1])},
        "common_bars": found.common_bars,
        "mean_difference": float(sequence.means[-1]),
        "low": float(sequence.lows[-1]),
        "high": float(sequence.highs[-1]),
        "p_value": float(sequence.p_values[-1]),
        "verdict": found.verdict.value,
        "decided_at_bars": sequence.decided_at,
        "decided_at_ns": found.decided_at_ns,
    }


def _print_figures(
    pair: "tuple[VariantSeries, VariantSeries]", figures: "list[VariantFigures]"
) -> None:
    champion, challenger = figures
    latencies = {**champion.latencies_us, **challenger.latencies_us}
    rows = [
        ("bars", *(f"{one.bar_count:,}" for one in figures)),
        ("return", *(f"{one.total_return:+.2%}" for one in figures)),
        ("max drawdown", *(f"{one.max_drawdown:.2%}" for one in figures)),
        ("ES 95 % per bar", *(_share(one.expected_shortfall_95) for one in figures)),
        *(
            (
                f"{name} (µs)",
                *(f"{one.latencies_us.get(name, float('nan')):.1f}" for one in figures),
            )
            for name in latencies
        ),
    ]
    print_table(("", f">{pair[0].name}", f">{pair[1].name} (challenger)"), rows)


def _print_verdict(found: "Comparison", alpha: float) -> None:
    sequence = found.sequence
    basis_points = [1e4 * float(it[-1]) for it in (sequence.means, sequence.lows, sequence.highs)]
    decided = "not yet: the test may be looked at again after any bar"
    if found.decided_at_ns is not None:
        when = datetime.fromtimestamp(found.decided_at_ns / 1e9, tz=UTC)
        decided = f"after {sequence.decided_at:,} bars, {when:%Y-%m-%d %H:%M} UTC"
    print_fields(
        {
            "bars in common": f"{found.common_bars:,}",
            "difference per bar": f"{basis_points[0]:+.4f} basis points, "
            f"{basis_points[1]:+.4f} to {basis_points[2]:+.4f} "
            f"({1.0 - alpha:.0%}, at all times together)",
            "always-valid p-value": f"{sequence.p_values[-1]:.4g}",
            "verdict": found.verdict.value,
            "decided": decided,
        }
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3%}"
