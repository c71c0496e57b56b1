"""`tradewind data`: what a file of bars holds, and a copy of it that needs no telling."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.errors import MarketDataError, StorageError
from tradewind_cli.data_fetch import fetch
from tradewind_cli.data_join import join
from tradewind_cli.data_trades import convert_trades
from tradewind_cli.output import JsonOption, print_fields, print_json, print_table, refusal

if TYPE_CHECKING:
    from tradewind.market import Bars

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Bars: check, show and convert files, fetch, join, resample."
)
app.command()(fetch)
app.command()(join)

_MOST_GAPS = 5


@dataclass(frozen=True)
class _Source:
    """A file of bars, and how it is read."""

    file: Path
    options: Mapping[str, Any]

    def load(self, market: str | None = None) -> "Bars":
        # pyarrow comes with an extra, and takes a moment to import
        from tradewind.market import load_bars

        return load_bars(self.file, **self.options, market=market)


def _source(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Separated text (also .gz, .zip), Parquet, or a folder."
        ),
    ],
    symbol: Annotated[
        str | None,
        typer.Option(help="What is traded; in a file of several symbols, which to take."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=NAME",
            help="Which column is timestamp, open, high, low, close or volume; its name, or its "
            "position from 1.",
        ),
    ] = None,
    timestamp_unit: Annotated[
        str | None, typer.Option(help="Unit of times in numbers: s, ms, us, ns.")
    ] = None,
    tz: Annotated[str | None, typer.Option(help="Time zone of times without an offset.")] = None,
    order: Annotated[
        str | None, typer.Option(help="Order of rows: oldest_first, newest_first, unsorted.")
    ] = None,
    dates: Annotated[str | None, typer.Option(help="03/04/2019: month_first or day_first.")] = None,
    decimal: Annotated[str | None, typer.Option(help="What separates decimals: . or ,")] = None,
    adjusted: Annotated[
        bool, typer.Option("--adjusted", help="Multiply prices by adjusted close / close.")
    ] = False,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="FILE.yaml", help="Options in a file, as check --write-settings."),
    ] = None,
) -> _Source:
    options: dict[str, Any] = {
        "symbol": symbol,
        "columns": _columns(column or []),
        "tz": tz,
        "order": order,
    }
    options |= {"timestamp_unit": timestamp_unit, "dates": dates, "decimal": decimal}
    options |= {"adjusted": adjusted}
    if settings is not None:
        options = _settings_from(settings) | {k: value for k, value in options.items() if value}
    return _Source(file, options)


def _of_bars(command: Callable[..., None]) -> Callable[..., None]:
    """A command line with the parameters of `_source` in the place of `source`."""
    reading, own = inspect.signature(_source).parameters, inspect.signature(command).parameters

    @functools.wraps(command)
    def run(**given: Any) -> None:
        source = _source(**{name: given.pop(name) for name in reading})
        command(source=source, **given)

    rest = [parameter for name, parameter in own.items() if name != "source"]
    named = [one.replace(kind=one.KEYWORD_ONLY) for one in (*reading.values(), *rest)]
    vars(run)["__signature__"] = inspect.Signature(named)
    run.__annotations__ = {**_source.__annotations__, **command.__annotations__}
    return run


@app.command()
@_of_bars
def check(
    source: _Source,
    write_settings: Annotated[
        Path | None,
        typer.Option(metavar="FILE.yaml", help="Writes what was recognised as options."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Says what was recognised in a file, and whether its bars can be used."""
    bars = source.load()
    if write_settings is not None:
        _write_settings(bars, write_settings)
    print_json(_summary(bars)) if as_json else _print_summary(bars)


@app.command()
@_of_bars
def show(
    source: _Source,
    rows: Annotated[int, typer.Option(min=1, help="Bars from each end.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Shows the first and the last bars of a file as they were read."""
    bars = source.load()
    shown = sorted({*range(min(rows, len(bars))), *range(max(0, len(bars) - rows), len(bars))})
    if as_json:
        print_json({**_summary(bars), "rows": [_row(bars, index) for index in shown]})
        return
    _print_summary(bars)
    print_table(("time (UTC)", ">open", ">high", ">low", ">close", ">volume"), _lines(bars, shown))


@app.command()
@_of_bars
def convert(
    source: _Source,
    out: Annotated[Path, typer.Argument(metavar="OUT.parquet", help="The file to write.")],
    resample: Annotated[
        str | None,
        typer.Option(metavar="LENGTH", help="Longer bars, such as 30min, within the sessions."),
    ] = None,
    market: Annotated[
        str | None,
        typer.Option(help="The market of the bars, for --resample; recognised by default."),
    ] = None,
    bars_of: Annotated[
        str | None,
        typer.Option(
            "--bars",
            metavar="RULE",
            help="FILE holds trades or quotes: build bars of time:1m, tick:1000, volume:50 or "
            "dollar:1e6.",
        ),
    ] = None,
    of: Annotated[
        str | None, typer.Option(help="Of a file with both: trades or quotes (with --bars).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the bars of a file as Parquet that every command reads without an option.

    With --bars, builds them from its trades or quotes, which may be larger than memory.
    """
    if out.suffix.lower() != ".parquet":
        raise refusal("OUT", f"must end in .parquet, unlike {out}")
    if out.exists() and source.file.exists() and out.samefile(source.file):
        raise refusal("OUT", "is the file that is read")
    if source.file.is_dir() and out.resolve().is_relative_to(source.file.resolve()):
        raise refusal("OUT", "lies in the folder that is read, of which it would become a part")
    if bars_of is not None:
        if resample is not None or market is not None:
            raise refusal("--bars", "stands beside neither --resample nor --market")
        convert_trades(source.file, source.options, bars_of, of, out, as_json=as_json)
        return
    if of is not None:
        raise refusal("--of", "is for trades and quotes: say --bars, too")
    bars = source.load(market=market)
    if resample is not None:
        bars = bars.resample(resample)
    from tradewind.market.saving import save_bars

    save_bars(bars, out)
    if as_json:
        print_json({**_summary(bars), "written": str(out)})
        return
    _print_summary(bars)
    print_fields({"written": str(out)})


def _write_settings(bars: "Bars", path: Path) -> None:
    import yaml

    assert bars.recognised is not None, "they come from a file"
    text = yaml.safe_dump(dict(bars.recognised.settings), allow_unicode=True, sort_keys=False)
    try:
        path.write_text(f"# How {bars.recognised.source} was read.\n{text}", encoding="utf-8")
    except OSError as problem:
        raise StorageError(f"cannot write {path}: {problem.strerror or problem}") from None


def _settings_from(path: Path) -> dict[str, Any]:
    from tradewind.market.reading import ReadOptions
    from tradewind.settings import read_yaml

    values, _ = read_yaml(path)
    known = set(inspect.signature(ReadOptions).parameters)
    if unknown := sorted(set(values) - known):
        raise refusal(
            "--settings", f"{path} has {', '.join(unknown)}; it can have {', '.join(sorted(known))}"
        )
    return values


def _columns(assignments: Iterable[str]) -> dict[str, str | int]:
    columns: dict[str, str | int] = {}
    for text in assignments:
        role, sign, name = text.partition("=")
        if not sign or not name:
            raise refusal("--column", f"must be ROLE=NAME, as volume=Vol, not {text!r}")
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
