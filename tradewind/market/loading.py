"""Bars from a user's file."""

import logging
from collections.abc import Mapping
from pathlib import Path

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, VOLUME
from tradewind.market.agreement import refuse_contradiction
from tradewind.market.bars import Bars
from tradewind.market.calendars import market_named
from tradewind.market.forming import without_forming_bar
from tradewind.market.reading import ADJUSTMENT, ReadOptions
from tradewind.market.reading.options import DateOrder, DecimalMark, RowOrder, TimestampUnit

__all__ = ["TimestampUnit", "load_bars"]

_logger = logging.getLogger(__name__)


def load_bars(
    path: Path | str,
    symbol: str | None = None,
    *,
    columns: Mapping[str, str | int] | None = None,
    timestamp_unit: TimestampUnit | None = None,
    tz: str | None = None,
    order: RowOrder | None = None,
    dates: DateOrder | None = None,
    decimal: DecimalMark | None = None,
    adjusted: bool = False,
    market: str | None = None,
) -> Bars:
    """Reads a table of bars, or a folder of them, and checks it; gaps stay gaps (see `Bars.gaps`).

    A last bar that had not closed when the file was written is left out, and the log says so.

    What the file says by itself needs no option: delimiter, encoding, header or none, names of
    columns, form and unit of times, order of rows (docs/guides/data.md). What was recognised is in
    `Bars.recognised` and in the log. What may be read in two ways is refused, and the message
    names the option that decides. A timestamp is the start of its bar, in UTC unless it carries
    an offset or `tz` says otherwise.

    Args:
        path: Separated text, as it is, in gzip or in zip; or Parquet; or a folder of such files,
            flat or in folders such as symbol=BTC/year=2024 (`tradewind.market.folders`). Both a
            Parquet and a folder may be larger than memory: the bars of the symbol need room.
        symbol: What is traded; by default the file's name up to its first dot. In a file or a
            folder of several symbols, the one to take.
        columns: Which column is timestamp, open, high, low, close or volume: its name, or its
            position from 1.
        timestamp_unit: Unit of times that are numbers, for those that the size does not tell.
        tz: Time zone of times without an offset, e.g. "America/New_York".
        order: "oldest_first", "newest_first", or "unsorted" to sort the rows.
        dates: "month_first" or "day_first", where no row of the file tells.
        decimal: "." or ",", where no number of the file tells.
        adjusted: Takes prices multiplied by adjusted close / close.
        market: Name of the market the bars are of, as `market_named` knows it; bars that cannot
            be of it are refused. By default it is recognised from the bars when it is needed.

    Raises:
        MarketDataError: The file cannot be read, a column is missing or may be one of several, a
            cell does not parse, or a bar is impossible; the violations name lines of text, as an
            editor counts them, or rows of Parquet from 1. Or there is no such market, or the bars
            are not of it.
        ImportError: pyarrow is not installed.
    """
    path = Path(path)
    given_market = None if market is None else market_named(market)
    try:
        # pyarrow comes with an extra: whoever only feeds bars one by one does without.
        from tradewind.market.folders import read_folder
        from tradewind.market.tables import read_columns
    except ModuleNotFoundError as missing:
        raise ImportError(
            "reading bars from files needs: pip install 'tradewind[bars]'"
        ) from missing
    options = ReadOptions(
        columns or {}, timestamp_unit, tz, order, dates, decimal, adjusted, symbol=symbol
    )
    if path.is_dir():
        found = read_folder(path, options)
        loaded, last_file = found.loaded, found.last_file
        symbol = symbol or found.symbol or path.resolve().name
    else:
        loaded, last_file = read_columns(path, options), path
    _logger.info("%s", loaded.recognition)
    bars = Bars(
        symbol=symbol or path.name.partition(".")[0],
        timestamps_ns=loaded.timestamps_ns,
        open=loaded.columns[OPEN_PRICE],
        high=loaded.columns[HIGH],
        low=loaded.columns[LOW],
        close=loaded.columns[CLOSE],
        volume=loaded.columns[VOLUME],
        given_market=given_market,
        recognised=loaded.recognition,
        adjustment=loaded.columns.get(ADJUSTMENT),
    )
    if given_market is not None:
        refuse_contradiction(bars)
    return without_forming_bar(bars, last_file)
