"""`tradewind data join`: several series over the same times, in one file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradewind_cli.output import JsonOption, print_fields, print_json, refusal

if TYPE_CHECKING:
    from tradewind.market import BarPanel, Bars

__all__ = ["join"]


def join(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="[SYMBOL=]FILE...",
            help="Bars of one symbol each; by default named as the file.",
        ),
    ],
    output: Annotated[Path, typer.Option(metavar="PANEL", help="A .parquet or .csv to write.")],
    market: Annotated[
        str | None, typer.Option(help="The market of all of them; recognised by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Joins the bars of several symbols by their times, and says what is lost.

    Only bars that every symbol has are kept. The file names the symbol in each row; a training
    takes it as data: {path: PANEL, symbols: [...]}.
    """
    # pyarrow comes with an extra, and takes a moment to import
    from tradewind.market import BarPanel, load_bars
    from tradewind.market.saving import SAVED_AS, save_bars

    if output.suffix.lower() not in SAVED_AS:
        raise refusal("--output", f"must end in {' or '.join(SAVED_AS)}, unlike {output}")
    if len(sources) < 2:
        raise refusal("FILE", "two series or more are needed")
    named = [_named(source) for source in sources]
    if any(output.exists() and path.exists() and output.samefile(path) for _, path in named):
        raise refusal("--output", f"{output} is one of the files that are read")
    series = [load_bars(path, symbol, market=market) for symbol, path in named]
    _check_markets(series)
    panel = BarPanel.align(series, log=False)
    save_bars(panel.series, output)
    _print_joined(panel, output, as_json=as_json)


def _named(source: str) -> tuple[str | None, Path]:
    symbol, sign, path = source.partition("=")
    # A file may have the sign in its name, as GC=F.csv has.
    if not sign or Path(source).exists():
        return None, Path(source)
    return symbol, Path(path)


def _check_markets(series: "list[Bars]") -> None:
    first, *others = series
    for bars in others:
        if bars.market != first.market:
            raise refusal(
                "--market",
                f"{bars.symbol} is of {bars.market.name}, {first.symbol} of {first.market.name}: "
                "say which of them all are traded on",
            )


def _print_joined(panel: "BarPanel", output: Path, *, as_json: bool) -> None:
    from tradewind.market.bars import format_time

    first, last = (format_time(panel.timestamps_ns[at]) for at in (0, -1))
    if as_json:
        print_json(
            {
                "symbols": list(panel.symbols),
                "bars": len(panel),
                "bar_seconds": panel.interval_ns / 1e9,
                "first": first,
                "last": last,
                "market": panel.market.name,
                "lost": list(panel.losses),
                "written": str(output),
            }
        )
        return
    print_fields(
        {
            "symbols": panel.symbol,
            "bars": f"{len(panel):,} of {panel.interval_ns / 1e9:g} s each",
            "from, to": f"{first}, {last}",
            "market": panel.market.said or panel.market.name,
            "lost": "\n".join(panel.losses) or "nothing",
            "written": str(output),
        }
    )
