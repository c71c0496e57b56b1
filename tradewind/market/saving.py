"""Bars to a file that is read back without a question."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, TIMESTAMP, VOLUME
from tradewind.errors import InvalidInputError, StorageError
from tradewind.market.bars import Bars
from tradewind.market.provenance import PROVENANCE_KEY, Provenance
from tradewind.process.durable import sync_folder

__all__ = ["SAVED_AS", "new_file", "previous_provenance", "save_bars", "table_of_bars"]

SAVED_AS: Final = (".parquet", ".csv")
"""What the name of a saved file may end in."""

_SYMBOL: Final = "symbol"


def save_bars(
    bars: Bars | Sequence[Bars], path: Path, provenance: Provenance | None = None
) -> None:
    """Writes bars as Parquet, or as CSV where the name ends so: times with their zone, as they are.

    Of several symbols, each row says which it is of; `load_bars(path, symbol)` takes one. Parquet
    holds where the bars come from; beside a CSV, a file of the same name and `.provenance.json`
    does.

    Raises:
        InvalidInputError: The name ends in something else.
        StorageError: The file cannot be written; the one that was there is as it was.
    """
    series = (bars,) if isinstance(bars, Bars) else tuple(bars)
    kind = path.suffix.lower()
    if kind not in SAVED_AS:
        raise InvalidInputError(f"{path} must end in {' or '.join(SAVED_AS)}")
    table = pa.concat_tables([table_of_bars(one, named=len(series) > 1) for one in series])
    if provenance is not None and kind == ".parquet":
        table = table.replace_schema_metadata({PROVENANCE_KEY: provenance.to_json().encode()})
    if provenance is not None and kind == ".csv":
        with new_file(_beside(path)) as file:
            file.write(provenance.to_json().encode() + b"\n")
    with new_file(path) as file:
        if kind == ".csv":
            pyarrow.csv.write_csv(table, file)
        else:
            pyarrow.parquet.write_table(table, file, compression="zstd")


def table_of_bars(bars: Bars, *, named: bool) -> Any:
    """The bars as an Arrow table; with a column of the symbol where it is to be named."""
    columns: dict[str, Any] = {
        TIMESTAMP: pa.array(bars.timestamps_ns, pa.timestamp("ns", "UTC")),
        OPEN_PRICE: bars.open,
        HIGH: bars.high,
        LOW: bars.low,
        CLOSE: bars.close,
        VOLUME: bars.volume,
    }
    if named:
        columns = {_SYMBOL: pa.repeat(pa.scalar(bars.symbol), len(bars)), **columns}
    return pa.table(columns)


def previous_provenance(path: Path) -> Provenance | None:
    """Where the bars of a saved file come from; None where there is no such file, or none of ours.

    Raises:
        StorageError: There is a file, and it cannot be read.
    """
    if not path.exists():
        return None
    try:
        if path.suffix.lower() == ".csv":
            beside = _beside(path)
            text = beside.read_bytes() if beside.exists() else b""
            return Provenance.of_metadata({PROVENANCE_KEY: text})
        return Provenance.of_metadata(pyarrow.parquet.read_schema(path).metadata)
    except OSError as problem:
        raise StorageError(f"cannot read {path}: {problem.strerror or problem}") from None
    except pa.ArrowException:
        return None


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Any]:
    """A file that takes its name when all of it is on the disk, and leaves nothing behind if not.

    Raises:
        StorageError: It cannot be written; what had the name is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as problem:
        raise StorageError(f"cannot write {path}: {problem.strerror or problem}") from None


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.provenance.json")
