"""Bars from a user's file."""

from pathlib import Path
from typing import Literal

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, VOLUME
from tradewind.market.bars import Bars
from tradewind.market.calendars import market_named
from tradewind.market.forming import without_forming_bar

__all__ = ["TimestampUnit", "load_bars"]

TimestampUnit = Literal["s", "ms", "us", "ns"]


def load_bars(
    path: Path | str,
    symbol: str | None = None,
    *,
    timestamp_unit: TimestampUnit | None = None,
    market: str | None = None,
) -> Bars:
    """Reads a table of bars and checks it; gaps stay gaps (see `Bars.gaps`).

    A last bar that had not closed when the file was written is left out, and the log says so.

    The file needs the columns timestamp, open, high, low, close and volume, in any order; others
    are ignored. A timestamp is the start of its bar: ISO 8601 text (UTC unless it carries an
    offset), an Arrow timestamp or date (UTC unless it has a zone), or an integer since the epoch.
    The size of the first integer tells seconds from milli-, micro- and nanoseconds, which is
    unambiguous from 1973 on.

    Args:
        path: A .csv, .csv.gz or .parquet file.
        symbol: What is traded; by default the file's name up to its first dot.
        timestamp_unit: Unit of integer timestamps, for those that the size does not tell.
        market: Name of the market the bars are of, as `market_named` knows it; by default it is
            recognised from the bars when it is needed.

    Raises:
        MarketDataError: The file cannot be read, a column is missing or repeated, a cell does not
            parse, or a bar is impossible; the violations name rows (1 is the first after the
            header) and columns. Or there is no such market.
        ImportError: pyarrow is not installed.
    """
    path = Path(path)
    given_market = None if market is None else market_named(market)
    try:
        # pyarrow comes with an extra: whoever only feeds bars one by one does without.
        from tradewind.market.tables import read_columns
    except ModuleNotFoundError as missing:
        raise ImportError(
            "reading bars from files needs: pip install 'tradewind[bars]'"
        ) from missing
    timestamps_ns, columns = read_columns(path, timestamp_unit)
    bars = Bars(
        symbol=symbol or path.name.partition(".")[0],
        timestamps_ns=timestamps_ns,
        open=columns[OPEN_PRICE],
        high=columns[HIGH],
        low=columns[LOW],
        close=columns[CLOSE],
        volume=columns[VOLUME],
        given_market=given_market,
    )
    return without_forming_bar(bars, path)
