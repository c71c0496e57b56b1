"""Reads the decision log, while it is being written too."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestrator.decision_log.schema import (
    LOG_FORMAT_VERSION,
    TICK_SCHEMA,
    with_later_fields,
)
from orchestrator.decision_log.segments import read_stream, sealed_paths, stream_paths
from tradewind.errors import NotFoundError, StorageError

__all__ = ["DecisionLog", "LogPart"]

_VERSION_KEY: Final = b"tradewind.format_version"


@dataclass(frozen=True, slots=True)
class LogPart:
    """Ticks that were written under the same facts: one run of the orchestrator, or several.

    Attributes:
        first_row: Row of its first tick.
        stop_row: Row after its last tick.
        facts: What the metadata of its segments says, by name.
    """

    first_row: int
    stop_row: int
    facts: Mapping[str, Any]


class DecisionLog:
    """The ticks of one account, oldest first, and what is in them as flat tables.

    Args:
        folder: The log.
        columns: Columns of the tick table to read; all by default.

    Attributes:
        ticks: One row for each tick, the columns of TICK_SCHEMA.
        parts: Where the facts changed, as they may from run to run; oldest first.

    Raises:
        NotFoundError: There is no log.
        StorageError: A segment cannot be read, or ticks are missing.
    """

    def __init__(self, folder: Path | str, columns: list[str] | None = None) -> None:
        folder = Path(folder)
        # Streams first: one that is sealed meanwhile is then among the sealed segments.
        streams = stream_paths(folder)
        sealed = sealed_paths(folder)
        tables = [_read_sealed(path, columns) for path in sealed]
        for path in streams:
            if path.with_suffix(".parquet") not in sealed:
                stream = _read_growing(path, columns)
                if stream is not None and stream.num_rows:
                    tables.append(stream)
        if not tables:
            raise NotFoundError(f"there is no decision log in {folder}")
        self.parts = _parts(folder, tables)
        self.ticks: pa.Table = pa.concat_tables(
            [_as_written_today(folder, table) for table in tables]
        )
        if "sequence" in self.ticks.column_names:
            _check_complete(folder, self.ticks["sequence"])

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the last run's metadata says, by name."""
        return self.parts[-1].facts

    def between(self, start_ns: int | None = None, stop_ns: int | None = None) -> pa.Table:
        """The ticks whose bars close in [start_ns, stop_ns), nanoseconds since the epoch."""
        closes = self.ticks["close_ns"].cast(pa.int64())
        first = 0 if start_ns is None else int(pc.sum(pc.less(closes, start_ns)).as_py() or 0)
        last = (
            len(closes) if stop_ns is None else int(pc.sum(pc.less(closes, stop_ns)).as_py() or 0)
        )
        return self.ticks.slice(first, max(last - first, 0))

    def decided_since(self, start_ns: int) -> "DecisionLog":
        """The same log from the first tick on that was decided at `start_ns` or later.

        Args:
            start_ns: Machine time, nanoseconds since the epoch.
        """
        decided = self.ticks["decided_ns"].cast(pa.int64()).to_numpy()
        at = np.flatnonzero(decided >= start_ns)
        later = copy.copy(self)
        later.ticks = self.ticks.slice(int(at[0]) if len(at) else len(decided))
        return later

    def flat(self, part: str, ticks: pa.Table | None = None) -> pa.Table:
        """One row for each part of the ticks, with the tick's `sequence` and `close_ns`.

        Args:
            part: `decisions`, `fills`, `orders`, `bars`, `refused_bars` or `positions`.
            ticks: Some of the ticks, such as from `between`; all by default.
        """
        ticks = self.ticks if ticks is None else ticks
        column = ticks[part].combine_chunks()
        parts = pc.list_flatten(column)
        parents = pc.list_parent_indices(column)
        if isinstance(parts, pa.ChunkedArray):
            parts = parts.combine_chunks()
        kind = TICK_SCHEMA.field(part).type.value_type
        columns = dict(zip((item.name for item in kind), parts.flatten(), strict=True))
        if "sequence" in columns:
            columns[f"{part.removesuffix('s')}_sequence"] = columns.pop("sequence")
        named = {name: ticks[name].take(parents) for name in ("sequence", "close_ns")}
        return pa.table({**named, **columns})


def _read_sealed(path: Path, columns: list[str] | None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as problem:
        raise StorageError(f"decision log {path}: {problem}") from problem


def _read_growing(path: Path, columns: list[str] | None) -> pa.Table | None:
    try:
        stream = read_stream(path)
    except StorageError:
        sealed = path.with_suffix(".parquet")
        if not sealed.exists():
            raise
        return _read_sealed(sealed, columns)  # it was sealed since the folder was listed
    return stream if stream is None or columns is None else stream.select(columns)


def _as_written_today(folder: Path, table: pa.Table) -> pa.Table:
    try:
        return with_later_fields(table.replace_schema_metadata(None))
    except (KeyError, pa.ArrowException) as problem:
        raise StorageError(
            f"decision log {folder} has what this release does not know, as a later one writes it: "
            f"{problem}"
        ) from problem


def _parts(folder: Path, tables: list[pa.Table]) -> tuple[LogPart, ...]:
    parts: list[LogPart] = []
    row = 0
    for table in tables:
        facts = _facts(folder, table.schema.metadata or {})
        first = row
        if parts and parts[-1].facts == facts:
            first = parts.pop().first_row
        row += table.num_rows
        parts.append(LogPart(first, row, facts))
    return tuple(parts)


def _facts(folder: Path, metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    version = metadata.get(_VERSION_KEY, b"").decode()
    if version != str(LOG_FORMAT_VERSION):
        raise StorageError(
            f"decision log {folder} has the format {version or 'of another program'}; "
            f"this reads {LOG_FORMAT_VERSION}"
        )
    return {
        key.decode().removeprefix("tradewind."): json.loads(value)
        for key, value in metadata.items()
        if key.startswith(b"tradewind.")
    }


def _check_complete(folder: Path, sequences: pa.ChunkedArray) -> None:
    numbers = sequences.to_numpy()
    broken = (numbers[1:] != numbers[:-1] + 1).nonzero()[0]
    if len(broken):
        at = int(broken[0])
        raise StorageError(
            f"decision log {folder} is not whole: tick {numbers[at + 1]} follows {numbers[at]}"
        )
