"""The kernel that reads a request's RiskInputs into the arrays of the risk engine.

It takes only what encoders normally write of inputs without a contradiction. Everything else, valid
or not (a series in several pieces, an unknown field, a symbol twice, a length past the end), it
leaves to protobuf and to RiskInputs.

It answers with a block of doubles and a layout. The block holds a packed snapshot (engine.snapshot)
without its rows of shocks, the six series, the times and the notionals of the trades, and the
average daily volumes. The layout says how many there are of what, and where the names stand.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradewind.api.risk.v1 import risk_pb2
from tradewind.kernels.compiled import compiled
from tradewind.risk import FloatArray, inputs
from tradewind.risk.engine.snapshot import (
    BOOK,
    BOOK_COUNT,
    BOOK_WIDTH,
    FEED_COUNT,
    HEADER_SIZE,
    IS_CALL,
    NO_BOOK,
    NO_VOLUME,
    OPTION_COUNT,
    OPTION_SHOCK_ROW,
    OPTION_WIDTH,
    OTHER_SYMBOLS,
    POSITION_COUNT,
    POSITION_WIDTH,
    SHOCK_ROW,
    UNDERLYING,
    VOLUME,
    YEARS,
    has,
)
from tradewind.rpc.risk.wire import (
    FIXED64,
    LENGTH_DELIMITED,
    UNUSUAL,
    ByteArray,
    copy_double,
    is_ascii,
    next_field,
    read_record,
)

__all__ = ["scan_request"]

IntArray: TypeAlias = NDArray[np.int64]

# Kinds of fields of RiskInputs; the six series come first, and are counted in doubles.
TIMESTAMPS: Final = 1
PRICE_CHANGES: Final = 3
ORDER_FLOWS: Final = 4
TRADES: Final = 6
POSITIONS: Final = 7
OPTIONS: Final = 8
FEEDS: Final = 9
BOOKS: Final = 10
VOLUMES: Final = 11
LEVELS: Final = 12  # of all books
SCALARS: Final = 13
KINDS: Final = 14

_KINDS: Final = {
    "portfolio_values": 0,
    "timestamps": TIMESTAMPS,
    "returns": 2,
    "price_changes": PRICE_CHANGES,
    "order_flows": ORDER_FLOWS,
    "order_latencies_us": 5,
    "trades": TRADES,
    "positions": POSITIONS,
    "options": OPTIONS,
    "feed_timestamps": FEEDS,
    "order_books": BOOKS,
    "average_daily_volumes": VOLUMES,
    **dict.fromkeys(inputs.SCALARS, SCALARS),
}
_FIELDS: Final = [
    risk_pb2.RiskInputs.DESCRIPTOR.fields_by_number.get(number) for number in range(32)
]
KIND_OF_FIELD: Final = tuple(
    UNUSUAL if field is None else _KINDS.get(field.name, UNUSUAL) for field in _FIELDS
)
"""By field number, up to the largest that `next_field` reads."""
HAS_OF_FIELD: Final = tuple(
    has(field.name) if field is not None and field.name in inputs.SCALARS else UNUSUAL
    for field in _FIELDS
)
"""Where the header says whether the scalar of that number was given."""

# A layout: where the field of the inputs begins and ends in the request, the count of each kind,
# and where each name of positions, options, feeds, books and volumes begins and ends.
FIELD_AT: Final = 0
COUNTS_AT: Final = 2
NAMES_AT: Final = COUNTS_AT + KINDS

LENGTH_OF_INPUTS: Final = 1 * 8 + LENGTH_DELIMITED
KEY: Final = 1 * 8 + LENGTH_DELIMITED
BOOK_VALUE: Final = 2 * 8 + LENGTH_DELIMITED
BIDS: Final = 1 * 8 + LENGTH_DELIMITED
ASKS: Final = 2 * 8 + LENGTH_DELIMITED

# An option's numbers on the wire: its kind, then those of its row in the order of that row.
OPTION_KIND_FIELD: Final = 2
OPTION_NUMBERS: Final = 9
CALL: Final = 1
PUT: Final = 2

MOST_NAMES: Final = 128
LONGEST_NAME: Final = 256
"""The names of one kind are compared one by one, and the interpreter waits: few and short ones."""


@compiled(holds_lock=True, allocates=True)
def scan_request(data: bytes) -> tuple[FloatArray, IntArray]:
    """Reads the inputs out of a request that has them in field 1.

    Returns:
        The block and the layout; a layout of size 0 if the request must be left to protobuf.
    """
    request = np.frombuffer(data, np.uint8)
    field, start, stop = _find_inputs(request)
    counts = np.zeros(KINDS, np.int64)
    if start < 0 or not _count(request, start, stop, counts):
        return np.empty(0), np.empty(0, np.int64)
    starts, size = _starts(counts)
    block = np.empty(size)
    layout = np.empty(NAMES_AT + 2 * counts[POSITIONS : VOLUMES + 1].sum(), np.int64)
    layout[FIELD_AT] = field
    layout[FIELD_AT + 1] = stop
    layout[COUNTS_AT:NAMES_AT] = counts
    names = layout[NAMES_AT:].reshape(-1, 2)
    _write_header(counts, block)
    if not _fill(request, start, stop, counts, starts, block, names):
        return np.empty(0), np.empty(0, np.int64)
    if not _link(request, counts, starts, block, names):
        return np.empty(0), np.empty(0, np.int64)
    return block, layout


@compiled
def _find_inputs(request: ByteArray) -> tuple[int, int, int]:
    """Where the one field of inputs begins, where its content does, and where both end."""
    found = (UNUSUAL, UNUSUAL, UNUSUAL)
    at = 0
    while at < request.size:
        field = at
        tag, start, at = next_field(request, at, request.size)
        if tag == UNUSUAL or (tag == LENGTH_OF_INPUTS and found[0] >= 0):
            return UNUSUAL, UNUSUAL, UNUSUAL
        if tag == LENGTH_OF_INPUTS:
            found = (field, start, at)
    return found


@compiled(allocates=True)
def _count(data: ByteArray, start: int, stop: int, counts: IntArray) -> bool:
    """Counts what there is of each kind; says whether that can be read here."""
    at = start
    while at < stop:
        tag, begin, at = next_field(data, at, stop)
        kind = KIND_OF_FIELD[tag >> 3] if tag >= 0 else UNUSUAL
        expected = FIXED64 if kind == SCALARS else LENGTH_DELIMITED
        if kind == UNUSUAL or tag & 7 != expected:
            return False
        if kind < TRADES:
            if counts[kind] > 0 or (at - begin) % 8 != 0:
                return False
            counts[kind] = (at - begin) // 8
            continue
        counts[kind] += 1
        if kind == BOOKS:
            bids, asks = _count_levels(data, begin, at)
            if bids < 0:
                return False
            counts[LEVELS] += bids + asks
    if counts[POSITIONS : VOLUMES + 1].max() > MOST_NAMES:
        return False
    has_all_times = counts[TIMESTAMPS] == 0 or counts[TIMESTAMPS] == counts[0]
    return bool(has_all_times and counts[PRICE_CHANGES] == counts[ORDER_FLOWS])


@compiled
def _open_book(data: ByteArray, start: int, stop: int) -> tuple[int, int, int, int]:
    """Where name and levels of an entry of order_books begin and end."""
    name = value = (UNUSUAL, UNUSUAL)
    at = start
    while at < stop:
        tag, begin, at = next_field(data, at, stop)
        if tag == KEY and name[0] < 0 and is_ascii(data, begin, at):
            name = (begin, at)
        elif tag == BOOK_VALUE and value[0] < 0:
            value = (begin, at)
        else:
            return UNUSUAL, UNUSUAL, UNUSUAL, UNUSUAL
    if name[0] < 0 or value[0] < 0:
        return UNUSUAL, UNUSUAL, UNUSUAL, UNUSUAL
    return name[0], name[1], value[0], value[1]


@compiled
def _count_levels(data: ByteArray, start: int, stop: int) -> tuple[int, int]:
    """Levels of the bids and of the asks of an entry of order_books."""
    _, _, at, end = _open_book(data, start, stop)
    if at < 0:
        return UNUSUAL, UNUSUAL
    bids = asks = 0
    while at < end:
        tag, _, at = next_field(data, at, end)
        if tag == BIDS:
            bids += 1
        elif tag == ASKS:
            asks += 1
        else:
            return UNUSUAL, UNUSUAL
    return bids, asks


@compiled(allocates=True)
def _starts(counts: IntArray) -> tuple[IntArray, int]:
    """Where each kind begins in the block, and the size of the block."""
    starts = np.zeros(KINDS, np.int64)
    starts[POSITIONS] = HEADER_SIZE
    starts[OPTIONS] = starts[POSITIONS] + counts[POSITIONS] * POSITION_WIDTH
    starts[FEEDS] = starts[OPTIONS] + counts[OPTIONS] * OPTION_WIDTH
    starts[BOOKS] = starts[FEEDS] + counts[FEEDS]
    starts[LEVELS] = starts[BOOKS] + counts[BOOKS] * BOOK_WIDTH
    at = starts[LEVELS] + 2 * counts[LEVELS]
    for series in range(TRADES):
        starts[series] = at
        at += counts[series]
    starts[TRADES] = at
    starts[VOLUMES] = at + 2 * counts[TRADES]
    return starts, starts[VOLUMES] + counts[VOLUMES]


@compiled
def _write_header(counts: IntArray, block: FloatArray) -> None:
    block[:HEADER_SIZE] = 0.0
    block[POSITION_COUNT] = counts[POSITIONS]
    block[OPTION_COUNT] = counts[OPTIONS]
    block[FEED_COUNT] = counts[FEEDS]
    block[BOOK_COUNT] = counts[BOOKS]


@compiled(allocates=True)
def _fill(
    data: ByteArray,
    start: int,
    stop: int,
    counts: IntArray,
    starts: IntArray,
    block: FloatArray,
    names: IntArray,
) -> bool:
    """Fills the block and the names; says whether every element could be read."""
    block_bytes, pair = block.view(np.uint8), np.empty(2)
    to = starts.copy()
    named = np.zeros(KINDS, np.int64)
    named[OPTIONS : VOLUMES + 1] = np.cumsum(counts[POSITIONS:VOLUMES])
    at = start
    while at < stop:
        tag, begin, at = next_field(data, at, stop)
        kind = KIND_OF_FIELD[tag >> 3]
        if kind < TRADES:
            block_bytes[8 * to[kind] : 8 * to[kind] + at - begin] = data[begin:at]
        elif kind == SCALARS:
            given = HAS_OF_FIELD[tag >> 3]
            block[given] = 1.0
            copy_double(data, begin, block_bytes, 8 * (given + 1))
        elif kind == TRADES:
            if read_record(data, begin, at, 1, 0, pair.view(np.uint8))[0] < 0:
                return False
            block[to[TRADES]] = pair[0]
            block[to[TRADES] + counts[TRADES]] = pair[1]
            to[TRADES] += 1
        else:
            if kind == BOOKS:
                name, end = _read_book(data, begin, at, block, to[BOOKS], to[LEVELS])
                to[LEVELS] += 2 * int(block[to[BOOKS]] + block[to[BOOKS] + 1])
            else:
                name, end = _read_named(data, begin, at, kind, block, to[kind])
            if name < 0:
                return False
            names[named[kind], 0] = name
            names[named[kind], 1] = end
            named[kind] += 1
            to[kind] += _width(kind)
    return True


@compiled
def _width(kind: int) -> int:
    """Doubles of a named element."""
    if kind == POSITIONS:
        return POSITION_WIDTH
    if kind == OPTIONS:
        return OPTION_WIDTH
    return BOOK_WIDTH if kind == BOOKS else 1


@compiled(allocates=True)
def _read_named(
    data: ByteArray, start: int, stop: int, kind: int, block: FloatArray, to: int
) -> tuple[int, int]:
    """Reads a position, an option, a feed or a volume; answers where its name stands."""
    if kind == POSITIONS:
        row = block[to : to + POSITION_WIDTH]
        row[VOLUME] = NO_VOLUME
        row[SHOCK_ROW] = OTHER_SYMBOLS
        row[BOOK] = NO_BOOK
        return read_record(data, start, stop, 2, 0, row[:VOLUME].view(np.uint8))
    if kind != OPTIONS:
        return read_record(data, start, stop, 2, 0, block[to : to + 1].view(np.uint8))
    numbers = np.empty(OPTION_NUMBERS)
    name, end = read_record(data, start, stop, 2, OPTION_KIND_FIELD, numbers.view(np.uint8))
    option_kind = numbers.view(np.int64)[0]
    if name < 0 or (option_kind != CALL and option_kind != PUT):
        return UNUSUAL, UNUSUAL
    row = block[to : to + OPTION_WIDTH]
    row[: OPTION_NUMBERS - 1] = numbers[1:]
    if row[YEARS] == 0.0:
        row[YEARS] = np.nan  # left out: one on its expiry says so, and is read by protobuf
    row[IS_CALL] = option_kind == CALL
    row[OPTION_SHOCK_ROW] = OTHER_SYMBOLS
    return name, end


@compiled(allocates=True)
def _read_book(
    data: ByteArray, start: int, stop: int, block: FloatArray, to: int, levels: int
) -> tuple[int, int]:
    """Reads an order book: its sizes to `to`, its levels to `levels`; answers as _read_named."""
    name, name_end, at, end = _open_book(data, start, stop)
    bids, asks = _count_levels(data, start, stop)
    block[to] = bids
    block[to + 1] = asks
    bid, ask, level = levels, levels + 2 * bids, np.empty(2)
    while at < end:
        tag, begin, at = next_field(data, at, end)
        if read_record(data, begin, at, 1, 0, level.view(np.uint8))[0] < 0:
            return UNUSUAL, UNUSUAL
        if tag == BIDS:
            block[bid] = level[0]
            block[bid + bids] = level[1]
            bid += 1
        else:
            block[ask] = level[0]
            block[ask + asks] = level[1]
            ask += 1
    return name, name_end


@compiled(allocates=True)
def _link(
    data: ByteArray, counts: IntArray, starts: IntArray, block: FloatArray, names: IntArray
) -> bool:
    """Finds volume and book of each position and numbers the options' underlyings.

    Returns:
        Whether every name is short and none stands twice where it must not.
    """
    for index in range(names.shape[0]):
        if names[index, 1] - names[index, 0] > LONGEST_NAME:
            return False
    ends = np.cumsum(counts[POSITIONS : VOLUMES + 1])
    positions, options = names[: ends[0]], names[ends[0] : ends[1]]
    feeds, books = names[ends[1] : ends[2]], names[ends[2] : ends[3]]
    volumes = names[ends[3] :]
    for one in (positions, feeds, books, volumes):
        for index in range(one.shape[0]):
            if _find(data, one[:index], one[index]) >= 0:
                return False
    for index in range(positions.shape[0]):
        row = block[starts[POSITIONS] + index * POSITION_WIDTH :]
        volume = _find(data, volumes, positions[index])
        if volume >= 0:
            row[VOLUME] = block[starts[VOLUMES] + volume]
        row[BOOK] = _find(data, books, positions[index])
    underlyings = 0
    for index in range(options.shape[0]):
        at = starts[OPTIONS] + index * OPTION_WIDTH + UNDERLYING
        earlier = _find(data, options[:index], options[index])
        if earlier >= 0:
            block[at] = block[at - (index - earlier) * OPTION_WIDTH]
        else:
            block[at] = underlyings
            underlyings += 1
    return True


@compiled
def _find(data: ByteArray, names: IntArray, name: IntArray) -> int:
    """Index of the first of some names that is the same text as another; −1 if none is."""
    size = name[1] - name[0]
    for index in range(names.shape[0]):
        start = names[index, 0]
        if names[index, 1] - start != size:
            continue
        same = 0
        while same < size and data[start + same] == data[name[0] + same]:
            same += 1
        if same == size:
            return index
    return -1
