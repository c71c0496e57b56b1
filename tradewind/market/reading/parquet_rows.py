"""Rows of a Parquet file, a batch at a time: the file may be larger than memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from tradewind.errors import MarketDataError
from tradewind.files import check_file
from tradewind.market.reading.options import OtherSymbolsError, ReadOptions
from tradewind.market.reading.roles import roles_of_header
from tradewind.market.reading.source import open_unchanged

__all__ = ["ParquetRows", "is_parquet", "read_rows"]

_MAGIC: Final = b"PAR1"
_BATCH_ROWS: Final = 65_536


@dataclass(frozen=True, eq=False)
class ParquetRows:
    """What is needed of a file.

    Attributes:
        table: The columns that bars are made of; of the rows of one symbol, where it has several.
        rows: Which rows of the file those are, from 0; None for all.
        notes: What was left out.
    """

    table: Any
    rows: NDArray[np.int64] | None
    notes: tuple[str, ...]


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet does; False for one that cannot be read."""
    try:
        check_file(path)
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def read_rows(path: Path, options: ReadOptions) -> ParquetRows:
    """Reads the columns of bars, and of several symbols the rows of the one that is wanted.

    Raises:
        MarketDataError: It is damaged, changed meanwhile, lacks columns, or has several symbols
            and none of them is named.
    """
    with _opened(path) as file:
        names = file.schema_arrow.names
        roles = roles_of_header(str(path), names, options)
        wanted = {*roles.columns.values(), roles.clock, roles.adjusted, roles.symbol, roles.ticks}
        columns = [name for place, name in enumerate(names) if place in wanted]
        if any(isinstance(place, int) for place in options.columns.values()):
            columns = names  # Positions are those among all columns.
        found = [] if roles.symbol is None else _unique(file, names[roles.symbol])
        if len(found) < 2:
            return ParquetRows(file.read(columns=columns), None, ())
        if options.symbol not in found:
            raise OtherSymbolsError(str(path), found)
        assert roles.symbol is not None
        batches, rows = [], []
        at = 0
        for batch in _batches(file, columns):
            names_here = pc.cast(batch.column(names[roles.symbol]), pa.string())
            chosen = pc.fill_null(pc.equal(names_here, options.symbol), False)
            if pc.any(chosen).as_py():
                batches.append(batch.filter(chosen))
                rows.append(np.flatnonzero(np.asarray(chosen)) + at)
            at += batch.num_rows
        note = f"rows of {options.symbol}, one of {len(found)} symbols"
        return ParquetRows(pa.Table.from_batches(batches), np.concatenate(rows), (note,))


def _unique(file: Any, column: str) -> list[str]:
    found: set[str] = set()
    for batch in _batches(file, [column]):
        found.update(str(name) for name in pc.unique(batch.column(0)).to_pylist())
    return sorted(found)


def _batches(file: Any, columns: list[str]) -> Iterator[Any]:
    # Of all row groups at once, the library decodes ahead as many as there are.
    for group in range(file.num_row_groups):
        yield from file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with open_unchanged(path):
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                yield file
        except (OSError, pa.ArrowException) as problem:
            raise MarketDataError(f"cannot read {path}: {problem}") from None
