"""Tables of bars through Arrow: from a file, or a frame in memory, to checked columns."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
from numpy.typing import NDArray

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, TIMESTAMP, VOLUME
from tradewind.errors import MarketDataError
from tradewind.market.checks import MAX_REPORTED_VIOLATIONS, Defect, refusal
from tradewind.market.provenance import Provenance
from tradewind.market.reading.amounts import number_cast, plain_number_cast, tell_decimal_mark
from tradewind.market.reading.assembly import RawColumns, assemble
from tradewind.market.reading.csv_table import CsvTable
from tradewind.market.reading.options import NoRowsError, OtherSymbolsError, ReadOptions
from tradewind.market.reading.parquet_rows import is_parquet, read_rows
from tradewind.market.reading.recognition import Recognition
from tradewind.market.reading.roles import Roles, roles_of_header
from tradewind.market.reading.source import open_unchanged, read_content
from tradewind.market.reading.times import Cast, TimeForm, is_text, tell_times

__all__ = ["PRICE_COLUMNS", "Loaded", "read_columns", "read_table"]

PRICE_COLUMNS: Final = (OPEN_PRICE, HIGH, LOW, CLOSE, VOLUME)

_CELLS_PER_CHUNK: Final = 1024
_HEAD_BYTES: Final = 2**20  # twice what a dialect is told from
_ADJUSTED: Final = "adjusted close"
_NO_VOLUME: Final = pa.array(["", "-", "null", "nan", "n/a", "none"])

Labels = Callable[[Sequence[int]], dict[int, str]]


@dataclass(frozen=True, eq=False)
class Loaded:
    """Checked bars, oldest first, and how they were read.

    Attributes:
        timestamps_ns: Start of each bar. Shape [n].
        columns: Prices and volume by their names. Shape [n] each.
        recognition: How they were read.
        symbols: What a column of symbols names; () without one.
    """

    timestamps_ns: NDArray[np.int64]
    columns: dict[str, NDArray[np.float64]]
    recognition: Recognition
    symbols: tuple[str, ...] = ()


def read_columns(path: Path, options: ReadOptions) -> Loaded:
    """Reads a file of bars.

    Raises:
        MarketDataError: The file cannot be read, a column cannot be told, or a row cannot be used.
    """
    subject = str(path)
    if is_parquet(path):
        found = read_rows(path, options)
        return read_table(
            found.table, subject, options, kind="Parquet", rows=found.rows, notes=found.notes
        )
    plain = _read_plain(path, options)
    if plain is not None:
        return plain
    content = read_content(path)
    if content.kind != "text":
        return read_table(_read_arrow(subject, content.data), subject, options, kind=content.kind)
    table = CsvTable.open(subject, content.data, options)
    return _load(_source_of(table, content.notes), *table.read(options), options)


def _read_plain(path: Path, options: ReadOptions) -> Loaded | None:
    """The bars of a large plain text, without holding it; None for `read_content` to see it all.

    Whatever is unusual is left to that, too, which words what is wrong.
    """
    with open_unchanged(path) as file:
        head = file.read(_HEAD_BYTES)
        size = os.fstat(file.fileno()).st_size
        if size <= _HEAD_BYTES or not head.isascii() or b"\0" in head:
            return None
        try:
            table = CsvTable.open(str(path), head, options)
            number = file.fileno()
            cells = table.read_plain(functools.partial(os.pread, number), size, options)
            if cells is None:
                return None
            return _load(replace(_source_of(table, ()), labels=_beyond_head), *cells, options)
        except MarketDataError:
            return None


def _beyond_head(rows: Sequence[int]) -> dict[int, str]:
    raise MarketDataError(f"the lines of {len(rows)} rows are told by reading all of the text")


def _source_of(table: CsvTable, notes: tuple[str, ...]) -> "_Source":
    return _Source(
        table.subject,
        table.form,
        (*notes, *table.notes),
        table.roles,
        table.names,
        table.labels,
        unnamed=table.unnamed,
        whole_prices=table.whole_prices,
    )


def read_table(
    table: Any,
    subject: str,
    options: ReadOptions,
    *,
    kind: str,
    rows: NDArray[np.int64] | None = None,
    notes: tuple[str, ...] = (),
) -> Loaded:
    """Reads bars from an Arrow table.

    Args:
        table: The table.
        subject: What it is called in an error.
        options: What is said about it.
        kind: What it is.
        rows: Which rows of its source it holds, from 0; None for all.
        notes: What was left out already.

    Raises:
        MarketDataError: A column cannot be told, or a row cannot be used.
    """
    names = table.column_names
    roles = roles_of_header(subject, names, options)
    if table.num_rows == 0:
        raise NoRowsError(f"{subject} has no bars: it has no rows")
    label = f"{kind}, {roles.form}" if roles.form else kind
    provenance = Provenance.of_metadata(table.schema.metadata)
    source = _Source(
        subject,
        label,
        notes if provenance is None else (*notes, f"fetched: {provenance}; {provenance.made}"),
        roles,
        names,
        functools.partial(_numbered, rows),
        unnamed=False,
        whole_prices=pa.types.is_integer(table.column(roles.columns[OPEN_PRICE]).type),
    )
    times = _plain(table, roles.columns[TIMESTAMP])
    if roles.clock is not None:
        clock = _plain(table, roles.clock)
        if is_text(times) and is_text(clock):
            times = pc.binary_join_element_wise(times, clock, " ")
    cells = {
        name: _plain(table, place) for name, place in roles.columns.items() if name != TIMESTAMP
    }
    if options.adjusted and roles.adjusted is not None:
        cells[_ADJUSTED] = _plain(table, roles.adjusted)
    symbols = None if roles.symbol is None else _plain(table, roles.symbol)
    try:
        form = tell_times(times, options)
    except MarketDataError as problem:
        raise MarketDataError(f"{subject}: {problem}") from None
    return _load(source, times, form, cells, symbols, options)


@dataclass(frozen=True, eq=False)
class _Source:
    subject: str
    form: str
    notes: tuple[str, ...]
    roles: Roles
    names: Sequence[str]
    labels: Labels
    unnamed: bool
    whole_prices: bool


def _load(
    source: _Source,
    times: Any,
    form: TimeForm,
    cells: dict[str, Any],
    symbols: Any,
    options: ReadOptions,
) -> Loaded:
    written = source.names[source.roles.columns[TIMESTAMP]]
    if form.naive and "local" in written.casefold():
        raise MarketDataError(
            f"{source.subject}: {written} holds times of a place, without an offset; say tz: its "
            "zone"
        )
    notes = list(source.notes)
    rows = np.arange(len(times))
    known = () if symbols is None else tuple(sorted(map(str, pc.unique(symbols).to_pylist())))
    chosen = _chosen_rows(source.subject, symbols, known, options, notes)
    if chosen is not None:
        rows = np.flatnonzero(chosen)
        times = times.filter(pa.array(chosen))
        cells = {name: column.filter(pa.array(chosen)) for name, column in cells.items()}
    if VOLUME in cells and _all_missing(cells[VOLUME]):
        notes.append(f"column {source.names[source.roles.columns[VOLUME]]} is empty")
        del cells[VOLUME]
    arrays = _converted(source, rows, times, form, cells, options)
    volume = arrays.get(VOLUME)
    if volume is not None and (volume == -1.0).all():
        notes.append("volume is -1 in every row, which stands for none")
        volume = None
    origins = {name: source.names[place] for name, place in source.roles.columns.items()}
    if source.roles.clock is not None:
        origins[TIMESTAMP] += f" + {source.names[source.roles.clock]}"
    if volume is None:
        volume = np.zeros(len(rows))
        origins[VOLUME] = "none"
    if not volume.any():
        notes.append(
            "no volume: 0 in every bar, so averages weighted by volume are plain ones and what "
            "needs a daily volume is unavailable"
        )
    if source.roles.adjusted is not None and not options.adjusted:
        notes.append("prices as traded; adjusted: true takes the adjusted ones")
    if source.roles.ticks is not None and not volume.any():
        notes.append(f"{source.names[source.roles.ticks]} counts price changes and was left alone")
    raw = RawColumns(
        source.subject,
        arrays.pop(TIMESTAMP),
        {name: volume if name == VOLUME else arrays[name] for name in PRICE_COLUMNS},
        arrays.get(_ADJUSTED),
        rows,
        source.labels,
        naive=form.naive,
        unnamed=source.unnamed,
        fixed_point=source.roles.form == "Databento's OHLCV" and source.whole_prices,
    )
    bars = assemble(raw, options)
    return Loaded(
        bars.timestamps_ns,
        bars.columns,
        Recognition(
            source.subject,
            source.form,
            origins,
            form.label,
            (*notes, *bars.notes),
            len(bars.timestamps_ns),
            _settings(source, form, options, bars.order, has_volume=origins[VOLUME] != "none"),
        ),
        known,
    )


def _settings(
    source: _Source, form: TimeForm, options: ReadOptions, order: str, *, has_volume: bool
) -> dict[str, Any]:
    """The options that say what was recognised, and what was given of the others."""
    columns = {
        role: place + 1 if source.unnamed else source.names[place]
        for role, place in source.roles.columns.items()
        if (role != TIMESTAMP or source.roles.clock is None) and (role != VOLUME or has_volume)
    }
    given = {
        "decimal": options.decimal, "adjusted": options.adjusted, "symbol": options.symbol
    }  # fmt: skip
    # A date beside a time of day is recognised only by itself, and so is a table without a header.
    named = {} if source.unnamed and source.roles.clock is not None else {"columns": columns}
    said = {name: value for name, value in given.items() if value}
    return {**named, **form.settings, "order": order, **said}


def _chosen_rows(
    subject: str, symbols: Any, found: Sequence[str], options: ReadOptions, notes: list[str]
) -> NDArray[np.bool_] | None:
    """Which rows are of the wanted symbol, None for all."""
    if len(found) < 2:
        return None
    if options.symbol not in found:
        raise OtherSymbolsError(subject, found)
    notes.append(f"rows of {options.symbol}, one of {len(found)} symbols")
    chosen: NDArray[np.bool_] = np.asarray(
        pc.fill_null(pc.equal(pc.cast(symbols, pa.string()), options.symbol), False)
    )
    return chosen


def _converted(
    source: _Source,
    rows: NDArray[np.int64],
    times: Any,
    form: TimeForm,
    cells: dict[str, Any],
    options: ReadOptions,
) -> dict[str, NDArray[Any]]:
    """Every column as numbers.

    Raises:
        MarketDataError: There are cells that are none; names their rows.
    """
    prices: Cast = plain_number_cast
    volumes: Cast = plain_number_cast
    if any(is_text(column) for column in cells.values()):
        mark = options.decimal or tell_decimal_mark(source.subject, cells)
        prices = number_cast(mark, units=False)
        volumes = number_cast(mark, units=True)
    found: list[Defect] = []
    count = 0
    arrays: dict[str, NDArray[Any]] = {}
    for name in (TIMESTAMP, *cells):
        # What was converted is let go: a file may fill half of the memory.
        column = times if name == TIMESTAMP else cells.pop(name)
        cast, needed = {TIMESTAMP: (form.cast, form.needed), VOLUME: (volumes, "a number")}.get(
            name, (prices, "a number")
        )
        arrays[name], defects, defect_count = _convert(column, name, cast, needed)
        found += defects
        count += defect_count
    if found:
        places = source.labels([int(rows[index]) for index, _, _ in found])
        raise refusal(source.subject, found, count, lambda index: places[int(rows[index])])
    return arrays


def _convert(column: Any, name: str, cast: Cast, needed: str) -> tuple[Any, list[Defect], int]:
    """The column as a NumPy array, or None and the cells that are not what is needed."""
    try:
        converted = cast(column)
        if converted.null_count == 0:
            return converted.to_numpy(), [], 0
    except pa.ArrowException:
        pass
    rows = _refused_rows(column, cast)
    found = []
    for row in rows[:MAX_REPORTED_VIOLATIONS]:
        cell = column[row].as_py()
        fault = "is missing" if cell is None else f"{cell!r} is not {needed}"
        found.append((row, name, fault))
    return None, found, len(rows)


def _refused_rows(column: Any, cast: Cast) -> list[int]:
    def is_refused(cells: Any) -> bool:
        try:
            return bool(cast(cells).null_count)
        except pa.ArrowException:
            return True

    rows = []
    for start in range(0, len(column), _CELLS_PER_CHUNK):
        chunk = column.slice(start, _CELLS_PER_CHUNK)
        if is_refused(chunk):
            rows += [start + i for i in range(len(chunk)) if is_refused(chunk.slice(i, 1))]
    return rows


def _all_missing(column: Any) -> bool:
    if column.null_count == len(column):
        return True
    if not is_text(column):
        return False
    cells = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    return bool(pc.all(pc.is_in(cells, _NO_VOLUME)).as_py())


def _plain(table: Any, place: int) -> Any:
    """A column with text in its ordinary type, whichever of Arrow's it was in."""
    column = table.column(place)
    if pa.types.is_dictionary(column.type):
        decoded = [chunk.dictionary.take(chunk.indices) for chunk in map(_text, column.chunks)]
        return pa.chunked_array(decoded)
    return _text(column)


def _text(column: Any) -> Any:
    kind = column.type
    if pa.types.is_dictionary(kind):
        words = _text(column.dictionary)
        return pa.DictionaryArray.from_arrays(column.indices, words)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    return column


def _read_arrow(subject: str, data: bytes) -> Any:
    try:
        return pa.ipc.open_file(pa.BufferReader(data)).read_all()
    except (OSError, pa.ArrowException) as problem:
        raise MarketDataError(f"cannot read {subject}: {problem}") from None


def _numbered(kept: NDArray[np.int64] | None, rows: Sequence[int]) -> dict[int, str]:
    return {row: f"row {(row if kept is None else int(kept[row])) + 1}" for row in rows}
