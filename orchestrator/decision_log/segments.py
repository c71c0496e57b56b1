"""Segments of the decision log: an Arrow stream that grows, then a Parquet file that never changes.

A segment is named by the number of its first tick. While it grows it is an Arrow IPC stream: what
was flushed survives a crash, and a torn end costs the last batch at most. Sealing writes the whole
of it as Parquet under another name, flushes that, renames it, and only then removes the stream.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tradewind.errors import StorageError
from tradewind.process.durable import sync_folder

__all__ = [
    "OpenSegment",
    "read_stream",
    "recover",
    "seal",
    "sealed_paths",
    "stream_paths",
]

_STREAM: Final = ".arrows"
_SEALED: Final = ".parquet"
_PARTIAL: Final = ".partial"


class OpenSegment:
    """A segment that grows.

    Args:
        folder: The log.
        first_sequence: Number of its first tick.
        schema: Its schema, with the metadata that holds for all of its ticks.

    Raises:
        StorageError: It cannot be created.
    """

    def __init__(self, folder: Path, first_sequence: int, schema: pa.Schema) -> None:
        self.path = folder / f"{first_sequence:012d}{_STREAM}"
        self.tick_count = 0
        with _storage(self.path):
            self._file = self.path.open("xb", buffering=0)
            self._write([schema.serialize()])
        sync_folder(folder)

    def append(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Writes batches; they survive a crash of the machine when this returns.

        Raises:
            StorageError: They could not be written.
        """
        with _storage(self.path):
            messages = []
            for batch in batches:
                messages.append(batch.serialize())
                self.tick_count += batch.num_rows
            self._write(messages)
            os.fdatasync(self._file.fileno())

    def seal(self) -> Path:
        """Ends the segment; gives its Parquet file.

        Raises:
            StorageError: It could not be written; the stream stays.
        """
        with _storage(self.path):
            self._file.close()
        return seal(self.path)

    def abandon(self) -> None:
        """Lets go of the file after a failure; what was flushed is there to be recovered."""
        self._file.close()

    def _write(self, messages: list[pa.Buffer]) -> None:
        # At once: Arrow's own writer would call the file some two hundred times for each batch.
        view = memoryview(b"".join(messages))
        while view:
            view = view[self._file.write(view) :]


def read_stream(path: Path) -> pa.Table | None:
    """The whole batches of a stream, torn or not; None when not even its schema is whole.

    Raises:
        StorageError: The file cannot be read.
    """
    batches = []
    with _storage(path), pa.memory_map(str(path)) as source:
        try:
            stream = pa.ipc.open_stream(source)
        except (pa.ArrowInvalid, OSError):
            return None
        with contextlib.suppress(pa.ArrowInvalid, OSError):  # the torn end
            batches.extend(stream)
        return pa.Table.from_batches(batches, stream.schema)


def seal(stream: Path) -> Path:
    """Makes a Parquet file of a stream and removes it.

    Raises:
        StorageError: The file system failed; the stream stays.
    """
    sealed = stream.with_suffix(_SEALED)
    table = read_stream(stream)
    with _storage(sealed):
        if table is not None and table.num_rows and not sealed.exists():
            partial = stream.with_suffix(_PARTIAL)
            with partial.open("wb") as file:
                pq.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            partial.rename(sealed)
            sync_folder(stream.parent)
        stream.unlink()
    return sealed


def recover(folder: Path) -> None:
    """Seals what a crash left open.

    Raises:
        StorageError: The file system failed.
    """
    with _storage(folder):
        for partial in folder.glob(f"*{_PARTIAL}"):
            partial.unlink()
    for stream in stream_paths(folder):
        seal(stream)


def sealed_paths(folder: Path) -> list[Path]:
    """The sealed segments, oldest first."""
    return sorted(folder.glob(f"*{_SEALED}"))


def stream_paths(folder: Path) -> list[Path]:
    """The segments that grow, or that a crash left open, oldest first."""
    return sorted(folder.glob(f"*{_STREAM}"))


@contextlib.contextmanager
def _storage(path: Path) -> Iterator[Any]:
    try:
        yield
    except (OSError, pa.ArrowException) as problem:
        raise StorageError(f"decision log {path}: {problem}") from problem
