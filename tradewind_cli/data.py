"""`tradewind data`: what a file of bars holds, and a copy of it that needs no telling."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.errors import FieldViolation, MarketDataError, SettingsError
from tradewind_cli.output import JsonOption, print_fields, print_json, print_table

if TYPE_CHECKING:
    from tradewind.market import Bars

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Files of bars: check, show, convert to Parquet.")

_MOST_GAPS = 5

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="Separated text (also .gz, .zip) or Parquet.")
]
SymbolOption = Annotated[
    str | None, typer.Option(help="What is traded; in a file of several symbols, which to take.")
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ROLE=NAME",
        help="Which column is timestamp, open, high, low, close or volume; its name, or its "
        "position from 1.",
    ),
]
UnitOption = Annotated[str | None, typer.Option(help="Unit of times in numbers: s, ms, us, ns.")]
ZoneOption = Annotated[str | None, typer.Option(help="Time zone of times without an offset.")]
OrderOption = Annotated[
    str | None, typer.Option(help="Order of rows: oldest_first, newest_first, unsorted.")
]
DatesOption = Annotated[str | None, typer.Option(help="03/04/2019: month_first or day_first.")]
DecimalOption = Annotated[str | None, typer.Option(help="What separates decimals: . or ,")]
AdjustedOption = Annotated[
    bool, typer.Option("--adjusted", help="Multiply prices by adjusted close / close.")
]


@app.command()
def check(
    file: FileArgument,
    symbol: SymbolOption = None,
    column: ColumnOption = None,
    timestamp_unit: UnitOption = None,
    tz: ZoneOption = None,
    order: OrderOption = None,
    dates: DatesOption = None,
    decimal: DecimalOption = None,
    adjusted: AdjustedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Says what was recognised in a file, and whether its bars can be used."""
    bars = _load(file, symbol, column, timestamp_unit, tz, order, dates, decimal, adjusted)
    if as_json:
        print_json(_summary(bars))
        return
    _print_summary(bars)


@app.command()
def show(
    file: FileArgument,
    symbol: SymbolOption = None,
    column: ColumnOption = None,
    timestamp_unit: UnitOption = None,
    tz: ZoneOption = None,
    order: OrderOption = None,
    dates: DatesOption = None,
    decimal: DecimalOption = None,
    adjusted: AdjustedOption = False,
    rows: Annotated[int, typer.Option(min=1, help="Bars from each end.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Shows the first and the last bars of a file as they were read."""
    bars = _load(file, symbol, column, timestamp_unit, tz, order, dates, decimal, adjusted)
    shown = sorted({*range(min(rows, len(bars))), *range(max(0, len(bars) - rows), len(bars))})
    if as_json:
        print_json({**_summary(bars), "rows": [_row(bars, index) for index in shown]})
        return
    _print_summary(bars)
    print_table(("time (UTC)", ">open", ">high", ">low", ">close", ">volume"), _lines(bars, shown))


@app.command()
def convert(
    file: FileArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT.parquet", help="The file to write.")],
    symbol: SymbolOption = None,
    column: ColumnOption = None,
    timestamp_unit: UnitOption = None,
    tz: ZoneOption = None,
    order: OrderOption = None,
    dates: DatesOption = None,
    decimal: DecimalOption = None,
    adjusted: AdjustedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Writes the bars of a file as Parquet that every command reads without an option."""
    if out.suffix.lower() != ".parquet":
        raise SettingsError(
            "the command line is refused",
            [FieldViolation("OUT", f"must end in .parquet, unlike {out}")],
        )
    if out.exists() and file.exists() and out.samefile(file):
        raise SettingsError(
            "the command line is refused", [FieldViolation("OUT", "is the file that is read")]
        )
    bars = _load(file, symbol, column, timestamp_unit, tz, order, dates, decimal, adjusted)
    from tradewind.market.saving import save_bars

    save_bars(bars, out)
    if as_json:
        print_json({**_summary(bars), "written": str(out)})
        return
    _print_summary(bars)
    print_fields({"written": str(out)})


def _load(
    file: Path,
    symbol: str | None,
    column: list[str] | None,
    timestamp_unit: Any,
    tz: str | None,
    order: Any,
    dates: Any,
    decimal: Any,
    adjusted: bool,
) -> "Bars":
    # pyarrow comes with an extra, and takes a moment to import
    from tradewind.market import load_bars

    return load_bars(
        file,
        symbol,
        columns=_columns(column or []),
        timestamp_unit=timestamp_unit,
        tz=tz,
        order=order,
        dates=dates,
        decimal=decimal,
        adjusted=adjusted,
    )


def _columns(assignments: Iterable[str]) -> dict[str, str | int]:
    columns: dict[str, str | int] = {}
    for text in assignments:
        role, sign, name = text.partition("=")
        if not sign or not name:
            raise SettingsError(
                "the command line is refused",
                [FieldViolation("--column", f"must be ROLE=NAME, as volume=Vol, not {text!r}")],
            )
        columns[role.strip()] = int(name) if name.isdigit() else name
    return columns


def _summary(bars: "Bars") -> dict[str, Any]:
    from tradewind.market.bars import format_time

    gaps = bars.gaps()
    recognised = bars.recognised
    assert recognised is not None, "they come from a file"
    return {
        "symbol": bars.symbol,
        "bars": len(bars),
        "bar_seconds": bars.interval_ns / 1e9,
        "first": format_time(bars.timestamps_ns[0]),
        "last": format_time(bars.timestamps_ns[-1]),
        "market": _market(bars),
        "gaps": len(gaps),
        "missing_bars": sum(gap.missing_bar_count for gap in gaps),
        "largest_gaps": [
            {
                "after": format_time(bars.timestamps_ns[gap.after]),
                "missing_bars": gap.missing_bar_count,
            }
            for gap in sorted(gaps, key=lambda gap: -gap.missing_bar_count)[:_MOST_GAPS]
        ],
        "digest": bars.digest,
        "recognised": list(recognised.lines()),
    }


def _market(bars: "Bars") -> str:
    try:
        return bars.market.said or bars.market.name
    except (MarketDataError, ImportError) as problem:
        return f"not recognised: {problem}"


def _print_summary(bars: "Bars") -> None:
    summary = _summary(bars)
    gaps = f"{summary['gaps']:,}, of {summary['missing_bars']:,} bars together"
    largest = ", ".join(
        f"{gap['missing_bars']:,} after {gap['after']}" for gap in summary["largest_gaps"]
    )
    print_fields(
        {
            "symbol": bars.symbol,
            "bars": f"{len(bars):,} of {summary['bar_seconds']:g} s",
            "from, to": f"{summary['first']}, {summary['last']}",
            "market": summary["market"],
            "gaps": f"{gaps}; the largest: {largest}" if largest else "none",
            "recognised": "\n".join(summary["recognised"]),
        }
    )


def _row(bars: "Bars", index: int) -> dict[str, Any]:
    from tradewind.market.bars import format_time

    bar = bars.bar(index)
    return {
        "timestamp": format_time(bar.timestamp_ns),
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": bar.volume,
    }


def _lines(bars: "Bars", shown: list[int]) -> Iterable[list[str]]:
    before = -1
    for index in shown:
        if index != before + 1:
            yield ["…"] * 6
        before = index
        time, *numbers = _row(bars, index).values()
        yield [time.removesuffix("+00:00"), *(f"{number:,.12g}" for number in numbers)]
