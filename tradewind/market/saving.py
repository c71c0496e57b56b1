"""Bars to a file that is read back without a question."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from tradewind.constants import CLOSE, HIGH, LOW, OPEN_PRICE, TIMESTAMP, VOLUME
from tradewind.errors import StorageError
from tradewind.market.bars import Bars
from tradewind.process.durable import replace_file

__all__ = ["save_bars"]


def save_bars(bars: Bars, path: Path) -> None:
    """Writes bars as Parquet: times with their zone, doubles as they are.

    Raises:
        StorageError: The file cannot be written.
    """
    table = pa.table(
        {
            TIMESTAMP: pa.array(bars.timestamps_ns, pa.timestamp("ns", "UTC")),
            OPEN_PRICE: bars.open,
            HIGH: bars.high,
            LOW: bars.low,
            CLOSE: bars.close,
            VOLUME: bars.volume,
        }
    )
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, sink.getvalue().to_pybytes())
    except OSError as problem:
        raise StorageError(f"cannot write {path}: {problem}") from None
