"""The ticks of a decision log as the account is booked from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.decision_log import BarRecord, DecisionLog, FillRecord, OrderRecord
from tradewind.errors import InvalidInputError, StorageError

__all__ = ["LoggedTick", "integers", "period_of", "read_ticks"]


@dataclass(frozen=True, slots=True)
class LoggedTick:
    """What came in at a tick, and what was sent.

    Attributes:
        sequence: Its number.
        close_ns: When its bars close.
        bars: Bars that were let through.
        fills: Fills that were booked before it was decided.
        orders: Orders that were intended.
    """

    sequence: int
    close_ns: int
    bars: tuple[BarRecord, ...]
    fills: tuple[FillRecord, ...]
    orders: tuple[OrderRecord, ...]


def read_ticks(log: DecisionLog) -> list[LoggedTick]:
    """All ticks of a log, which has to begin where its account began.

    Raises:
        StorageError: The first ticks are missing, so nothing can be rebuilt.
    """
    sequences = integers(log.ticks["sequence"])
    if sequences[0] != 0:
        raise StorageError(
            f"the decision log begins at tick {sequences[0]}: ticks 0 to {sequences[0] - 1} are "
            "missing, and the account cannot be rebuilt without them"
        )
    parts = zip(
        _records(log, "bars", BarRecord),
        _records(log, "fills", FillRecord),
        _records(log, "orders", OrderRecord),
        strict=True,
    )
    closes = integers(log.ticks["close_ns"])
    return [
        LoggedTick(sequence, close_ns, *part)
        for sequence, close_ns, part in zip(sequences.tolist(), closes.tolist(), parts, strict=True)
    ]


def period_of(log: DecisionLog, start_ns: int | None, stop_ns: int | None) -> range:
    """Rows of the ticks whose bars close in [start_ns, stop_ns).

    Raises:
        InvalidInputError: There is none.
    """
    count = len(log.between(start_ns, stop_ns))
    first = 0 if start_ns is None else len(log.between(None, start_ns))
    if not count:
        raise InvalidInputError("no tick of the log closes in this period")
    return range(first, first + count)


def integers(column: pa.ChunkedArray | pa.Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Whole numbers and times as they are; nanoseconds since the epoch."""
    return np.asarray(column.cast(pa.int64()))


def _records(log: DecisionLog, part: str, kind: Any) -> Iterator[tuple[Any, ...]]:
    """For each tick its bars, fills or orders."""
    table = log.flat(part)
    counts = np.asarray(pa.compute.list_value_length(log.ticks[part].combine_chunks()))
    columns = [_values(table[name]) for name in table.column_names[2:]]
    names = [name.removeprefix(f"{part.removesuffix('s')}_") for name in table.column_names[2:]]
    rows = [kind(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]
    ends = np.concatenate([[0], np.cumsum(counts)]).tolist()
    for start, stop in pairwise(ends):
        yield tuple(rows[start:stop])


def _values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values: list[Any] = column.to_pylist()
    if pa.types.is_list(column.type):
        return [tuple(value) for value in values]
    return values
