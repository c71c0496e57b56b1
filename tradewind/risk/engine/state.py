"""All that the kernels may look at: one account at one moment."""

from typing import Final, NamedTuple

from tradewind.kernels.compiled import compiled, inlined
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

__all__ = ["NEEDS_WORKSPACE", "SERIES", "Series", "State", "Touched", "open_state", "workspace_of"]

NEEDS_WORKSPACE: Final = -3
"""Nothing was changed: the workspace is too small for so many options."""


class Series(NamedTuple):
    """Trailing windows of the series, the newest element last.

    Attributes:
        sorted_losses: The largest −r of the last `losses_window` returns, largest first, as many as
            any confidence looks at or more; empty unless they were kept in order.
    """

    timestamps: FloatArray
    drawdowns: FloatArray
    returns: FloatArray
    price_changes: FloatArray
    order_flows: FloatArray
    order_latencies_us: FloatArray
    trade_timestamps: FloatArray
    trade_notionals: FloatArray
    sorted_losses: FloatArray


SERIES: Final = Series._fields[:6]
"""Those with a bounded window."""


class State(NamedTuple):
    """One account at one moment; the rows are those of engine.snapshot.

    The account is an array of one record: a kernel cannot return a record inside a tuple. The
    workspace is memory for what a calculator has to put down (plan.workspace_size).
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
    workspace: FloatArray


class Touched(NamedTuple):
    """What differs from the state that a result was last calculated for; all of it if none was."""

    values: bool
    returns: bool
    flows: bool
    latencies: bool
    holdings: bool


@compiled
def workspace_of(config: Record, header: FloatArray) -> int:
    """Numbers of the workspace that an account needs: four an option beside what series need."""
    return int(config.workspace_size) + 4 * int(header[OPTION_COUNT])


@inlined
def open_state(
    account: Record,
    series: Series,
    snapshot: FloatArray,
    shocks: FloatArray,
    workspace: FloatArray,
) -> State:
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
        snapshot[positions:options].reshape(position_count, POSITION_WIDTH),
        snapshot[options:feeds].reshape(option_count, OPTION_WIDTH),
        snapshot[feeds:books],
        snapshot[books:end].reshape(book_count, BOOK_WIDTH),
        snapshot[end:],
        shocks,
        workspace,
    )
