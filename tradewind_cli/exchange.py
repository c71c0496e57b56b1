"""Bars of an exchange into a file: gone on with where it ends, and kept when the network fails."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tradewind.errors import ConflictError, UnavailableError
from tradewind.reporting.progress import WorkBar, progress_console
from tradewind_cli.output import refusal
from tradewind_cli.progress import said_when_interrupted

if TYPE_CHECKING:
    from tradewind.market import Bars
    from tradewind.market.fetching.exchanges import Exchange, ExchangeBars, Row
    from tradewind.market.provenance import Provenance

__all__ = ["exchange_bars", "fetch_from_exchange"]

_FEWEST: Final = 2  # one bar does not say how long it is


def exchange_bars(name: str, interval: str, settings: Path | None) -> "ExchangeBars":
    """What `EXCHANGE:MARKET` stands for."""
    from tradewind.market.fetching.exchanges import ExchangeBars
    from tradewind.settings import read_yaml

    exchange, _, symbol = name.partition(":")
    told = {} if settings is None else read_yaml(settings)[0]
    return ExchangeBars(exchange, symbol, interval, told)


def fetch_from_exchange(
    wanted: "ExchangeBars",
    out: Path,
    since: str | None,
    until: str | None,
    *,
    again: Sequence[str],
    as_json: bool,
) -> "tuple[Bars, Provenance]":
    """Fetches what is not in the file yet, and writes all of it.

    What came before the exchange stopped answering, or before Ctrl-C, is written, too: the same
    command goes on from there.

    Args:
        wanted: What to fetch.
        out: The file.
        since: From when on; needed where there is no file yet.
        until: Until when; now by default.
        again: The command that does the same again, as words.
        as_json: Whether an interruption is to be said in JSON.
    """
    from tradewind.market import load_bars
    from tradewind.market.fetching.exchanges import Exchange, joined_bars
    from tradewind.market.saving import save_bars

    since_ns, until_ns = _time("--since", since), _time("--until", until)
    symbol = wanted.symbol
    before = load_bars(out, symbol) if out.exists() else None
    if before is None and since_ns is None:
        raise refusal("--since", "is needed: from when on")
    if before is not None and since_ns is not None and since_ns < before.timestamps_ns[0]:
        raise ConflictError(
            f"{out} begins after --since, and is gone on with at its end alone: name another file"
        )
    exchange = Exchange(wanted)
    if before is not None:
        since_ns = int(before.close_times_ns[-1])
    assert since_ns is not None
    pages: list[list[Row]] = []

    def keep() -> str:
        bars = joined_bars(symbol, exchange.interval_ns, before, pages)
        if bars is None or len(bars) < _FEWEST or not pages:
            return "nothing was written"
        save_bars(bars, out, exchange.provenance())
        return f"{len(bars):,} bars are in {out}; the same command goes on"

    try:
        with said_when_interrupted(keep, lambda: [again], as_json=as_json):
            _take(exchange, since_ns, until_ns, pages)
    except UnavailableError as problem:
        problem.add_note(keep())
        raise
    bars = joined_bars(symbol, exchange.interval_ns, before, pages)
    if bars is None or len(bars) < _FEWEST:
        raise UnavailableError(
            f"{wanted.name}: the exchange has fewer than two bars of that time that have closed"
        )
    save_bars(bars, out, exchange.provenance())
    return bars, exchange.provenance()


def _take(
    exchange: "Exchange", since_ns: int, until_ns: int | None, pages: "list[list[Row]]"
) -> None:
    from tradewind.market.bars import format_time

    until_ns = until_ns or time.time_ns()
    total = max(1, (until_ns - since_ns) // exchange.interval_ns)
    with WorkBar(progress_console(), "fetching", total) as bar:
        for page in exchange.pages(since_ns, until_ns):
            pages.append(page)
            latest = page[-1][0]
            done = (latest - since_ns) // exchange.interval_ns + 1
            bar.show(done=min(done, total), figures=f"up to {format_time(latest)}")


def _time(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise refusal(option, f"must be a time such as 2024-01-01, not {text!r}") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return int(at.timestamp()) * 10**9
