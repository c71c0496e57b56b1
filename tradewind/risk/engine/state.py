"""All that the kernels may look at: one account at one moment."""

from typing import NamedTuple

from numpy.lib.stride_tricks import as_strided

from tradewind.compiled import compiled, inlined
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.snapshot import (
    BOOK_COUNT,
    BOOK_WIDTH,
    FEED_COUNT,
    HEADER_SIZE,
    OPTION_COUNT,
    OPTION_WIDTH,
    POSITION_COUNT,
    POSITION_WIDTH,
)
from tradewind.risk.inputs import FloatArray

__all__ = ["Series", "State", "Touched", "open_state"]


class Series(NamedTuple):
    """Trailing windows of the series, the newest element last."""

    timestamps: FloatArray
    drawdowns: FloatArray
    returns: FloatArray
    price_changes: FloatArray
    order_flows: FloatArray
    order_latencies_us: FloatArray
    trade_timestamps: FloatArray
    trade_notionals: FloatArray


class State(NamedTuple):
    """One account at one moment; the rows are those of engine.snapshot.

    The account is an array of one record: a kernel cannot return a record inside a tuple.
    """

    account: Record
    series: Series
    header: FloatArray
    positions: FloatArray
    options: FloatArray
    feeds: FloatArray
    books: FloatArray
    levels: FloatArray
    shocks: FloatArray


class Touched(NamedTuple):
    """What differs from the state that a result was last calculated for; all of it if none was."""

    values: bool
    returns: bool
    flows: bool
    latencies: bool
    holdings: bool


@inlined
def open_state(account: Record, series: Series, snapshot: FloatArray, shocks: FloatArray) -> State:
    """Finds the rows of a packed snapshot."""
    position_count = int(snapshot[POSITION_COUNT])
    option_count = int(snapshot[OPTION_COUNT])
    book_count = int(snapshot[BOOK_COUNT])
    positions = HEADER_SIZE
    options = positions + position_count * POSITION_WIDTH
    feeds = options + option_count * OPTION_WIDTH
    books = feeds + int(snapshot[FEED_COUNT])
    end = books + book_count * BOOK_WIDTH
    return State(
        account,
        series,
        snapshot[:HEADER_SIZE],
        _rows(snapshot[positions:options], position_count, POSITION_WIDTH),
        _rows(snapshot[options:feeds], option_count, OPTION_WIDTH),
        snapshot[feeds:books],
        _rows(snapshot[books:end], book_count, BOOK_WIDTH),
        snapshot[end:],
        shocks,
    )


@compiled
def _rows(numbers: FloatArray, count: int, width: int) -> FloatArray:
    """Rows of numbers that follow each other; a reshape takes longer than some calculators."""
    size = numbers.itemsize
    return as_strided(numbers, (count, width), (width * size, size))
