"""CSV and Parquet files through Arrow: from cells to checked columns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, TIMESTAMP, VOLUME
from tradewind.errors import FieldViolation, MarketDataError
from tradewind.files import check_file
from tradewind.market.checks import MAX_REPORTED_VIOLATIONS, Defect, refusal

__all__ = ["PRICE_COLUMNS", "read_columns"]

PRICE_COLUMNS: Final = (OPEN_PRICE, HIGH, LOW, CLOSE, VOLUME)
_COLUMNS: Final = (TIMESTAMP, *PRICE_COLUMNS)

_NS_PER_UNIT: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
# From 1973 to 5138 the size of an epoch number tells its unit: the ranges do not overlap.
_SMALLEST_EPOCH: Final = {"s": 10**8, "ms": 10**11, "us": 10**14, "ns": 10**17}
_CELLS_PER_CHUNK: Final = 1024

Cast = Callable[[Any], Any]


def read_columns(
    path: Path, timestamp_unit: str | None
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Reads the six columns of a table of bars; other columns are left alone.

    Args:
        path: A .csv, .csv.gz or .parquet file.
        timestamp_unit: Unit of integer timestamps: s, ms, us or ns; None tells it by their size.

    Returns:
        Timestamps in nanoseconds since the epoch, and the other columns by name.

    Raises:
        MarketDataError: The file cannot be read, lacks or repeats a column, has no rows, or has
            cells that are not what their column needs.
    """
    if timestamp_unit is not None and timestamp_unit not in _NS_PER_UNIT:
        raise MarketDataError(
            f"timestamp_unit must be one of {', '.join(_NS_PER_UNIT)}, not {timestamp_unit!r}"
        )
    table = _read_table(path)
    if table.num_rows == 0:
        raise MarketDataError(f"{path} has no bars: there is no row after the header")
    found: list[Defect] = []
    count = 0
    columns: dict[str, NDArray[Any]] = {}
    for name in _COLUMNS:
        column = table.column(name)
        cast, needed = (
            _timestamp_cast(column, timestamp_unit)
            if name == TIMESTAMP
            else (_number_cast, "a number")
        )
        columns[name], defects, defect_count = _convert(column, name, cast, needed)
        found += defects
        count += defect_count
    if found:
        raise refusal(str(path), found, count)
    return columns.pop(TIMESTAMP), columns


def _read_table(path: Path) -> Any:
    name = path.name.lower()
    try:
        check_file(path)
        if name.endswith((".csv", ".csv.gz")):
            return _read_csv(path)
        if name.endswith(".parquet"):
            with pyarrow.parquet.ParquetFile(path) as file:
                _check_names(path, file.schema_arrow.names)
                return file.read(columns=list(_COLUMNS))
    except UnicodeDecodeError:  # in the names of columns
        raise MarketDataError(f"cannot read {path}: it is not UTF-8; save it as UTF-8") from None
    except (OSError, pa.ArrowException) as problem:
        raise MarketDataError(f"cannot read {path}: {problem}") from None
    raise MarketDataError(f"cannot read {path}: the name must end in .csv, .csv.gz or .parquet")


def _read_csv(path: Path) -> Any:
    torn: list[Any] = []

    def collect(row: Any) -> str:
        torn.append(row)
        return "skip"

    # The threads of a parallel read do not know row numbers, which the violations need.
    reading = pyarrow.csv.ReadOptions(use_threads=False)
    parsing = pyarrow.csv.ParseOptions(invalid_row_handler=collect)
    with pyarrow.csv.open_csv(path, reading, parsing) as reader:
        _check_names(path, reader.schema.names)
    torn.clear()  # Opening the file has parsed its first block already.
    table = pyarrow.csv.read_csv(
        path,
        reading,
        parsing,
        # Everything as text at first: a cell that does not convert can then be quoted.
        pyarrow.csv.ConvertOptions(
            include_columns=list(_COLUMNS),
            column_types=dict.fromkeys(_COLUMNS, pa.string()),
            strings_can_be_null=False,
        ),
    )
    if torn:
        raise MarketDataError(
            f"{path} has {len(torn)} row(s) with a wrong number of cells",
            [
                FieldViolation(
                    f"row {row.number - 1}",  # Arrow counts the header as row 1.
                    f"{row.actual_columns} cells instead of {row.expected_columns}: {row.text!r}",
                )
                for row in torn[:MAX_REPORTED_VIOLATIONS]
            ],
        )
    return table


def _check_names(path: Path, names: list[str]) -> None:
    violations = []
    for column in _COLUMNS:
        times = names.count(column)
        if times != 1:
            fault = "missing" if times == 0 else f"there are {times} columns of that name"
            violations.append(FieldViolation(column, fault))
    if violations:
        raise MarketDataError(
            f"{path} needs the columns {', '.join(_COLUMNS)} once each; it has {', '.join(names)}",
            violations,
        )


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


def _number_cast(cells: Any) -> Any:
    return pc.cast(_trimmed(cells), pa.float64())


def _timestamp_cast(column: Any, unit: str | None) -> tuple[Cast, str]:
    """How the times of a column become nanoseconds, and what each cell must be for that."""
    first = column.slice(0, 1)
    if _is_text(column):
        if pc.all(pc.match_substring_regex(_trimmed(first), r"^-?\d+$")).as_py():
            return _epoch_cast(first, unit)
        # Arrow wants to know beforehand whether there are offsets from UTC; without, it is UTC.
        zoned = pc.any(pc.match_substring_regex(_trimmed(first), r":.*(Z|[+-][\d:]+)$")).as_py()
        kind = pa.timestamp("ns", "UTC" if zoned else None)
        form = "with an offset from UTC" if zoned else "without an offset from UTC"
        return (
            lambda cells: pc.cast(pc.cast(_trimmed(cells), kind), pa.int64()),
            f"an ISO 8601 time {form} (as in the first row) from 1677 to 2262",
        )
    if pa.types.is_integer(column.type):
        return _epoch_cast(first, unit)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        kind = pa.timestamp("ns", getattr(column.type, "tz", None))
        return (
            lambda cells: pc.cast(pc.cast(cells, kind), pa.int64()),
            "a time from 1677 to 2262",
        )
    raise MarketDataError(
        f"column {TIMESTAMP} must hold ISO 8601 text, Arrow timestamps or integers since the "
        f"epoch, not {column.type}"
    )


def _epoch_cast(first: Any, unit: str | None) -> tuple[Cast, str]:
    def integers(cells: Any) -> Any:
        return pc.cast(_trimmed(cells), pa.int64())

    if unit is None:
        size = abs(integers(first)[0].as_py() or 0)
        fitting = [name for name, smallest in _SMALLEST_EPOCH.items() if size >= smallest]
        if not fitting:
            raise MarketDataError(
                f"column {TIMESTAMP}: the unit of {first[0].as_py()} cannot be told by its size "
                f"(times since 1973 can); say timestamp_unit: {', '.join(_NS_PER_UNIT)}"
            )
        unit = fitting[-1]
    factor = _NS_PER_UNIT[unit]
    return (
        lambda cells: pc.multiply_checked(integers(cells), factor),
        f"an integer number of {unit} since the epoch",
    )


def _is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _trimmed(cells: Any) -> Any:
    return pc.utf8_trim_whitespace(cells) if _is_text(cells) else cells
