"""The orchestrator's write-ahead journal: what it must know after a crash, a line for each tick.

A line is written before the orders in it are sent. A line with orders survives a crash of the
machine, every other one a crash of the process.
"""

import dataclasses
import fcntl
import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from orchestrator.brokers import Order
from orchestrator.decision_log.records import BarRecord, FillRecord
from orchestrator.decision_log.segments import sync_folder
from tradewind.errors import StorageError

__all__ = ["Journal", "JournalEntry"]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One tick.

    Attributes:
        sequence: Number of the tick.
        close_ns: When its bars close.
        bars: Bars that were let through.
        fills: Fills that were booked.
        orders: Orders about to be sent, each with the reason for it.
    """

    sequence: int
    close_ns: int
    bars: tuple[BarRecord, ...]
    fills: tuple[FillRecord, ...]
    orders: tuple[tuple[Order, str], ...]


class Journal:
    """Appends entries and reads those of earlier runs.

    Args:
        path: The file; made when it is missing. A torn last line is cut off.

    Attributes:
        entries: Of earlier runs, oldest first.

    Raises:
        StorageError: It cannot be read or written, is in use by another process, or is damaged
            before its last line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                self._lock()
                self.entries, whole = self._read(path.read_bytes())
                os.ftruncate(self._file, whole)
                sync_folder(path.parent)
            except BaseException:
                os.close(self._file)
                raise
        except OSError as problem:
            raise self._error(problem) from problem

    def append(self, entry: JournalEntry) -> None:
        """Writes an entry; with orders it returns only when the disk has it.

        Raises:
            StorageError: It could not be written: nothing in it may be sent.
        """
        line = _encode(entry)
        try:
            if os.write(self._file, line) != len(line):
                raise OSError("the line was written in part")
            if entry.orders:
                os.fdatasync(self._file)
        except OSError as problem:
            raise self._error(problem) from problem

    def sync(self) -> None:
        """Makes every entry so far survive a crash of the machine.

        Raises:
            StorageError: The disk failed.
        """
        try:
            os.fdatasync(self._file)
        except OSError as problem:
            raise self._error(problem) from problem

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._file)

    def _lock(self) -> None:
        # Another orchestrator may be in the middle of a line, which must not be cut off.
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"journal {self._path} is in use by another process") from None

    def _read(self, data: bytes) -> tuple[list[JournalEntry], int]:
        entries: list[JournalEntry] = []
        whole = 0
        while (end := data.find(b"\n", whole)) >= 0:
            line = data[whole:end]
            if line[:8] != b"%08x" % zlib.crc32(line[9:]):
                if data.find(b"\n", end + 1) < 0:
                    break  # the last line: torn by a crash of the machine
                raise StorageError(f"journal {self._path} is damaged at line {len(entries) + 1}")
            entries.append(_decode(line[9:]))
            whole = end + 1
        return entries, whole

    def _error(self, problem: OSError) -> StorageError:
        return StorageError(f"journal {self._path}: {problem}")


def _values(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """Takes a record apart, in the order in which its fields were declared."""
    return attrgetter(*(item.name for item in dataclasses.fields(kind)))


_BAR_VALUES, _FILL_VALUES, _ORDER_VALUES = map(_values, (BarRecord, FillRecord, Order))


def _encode(entry: JournalEntry) -> bytes:
    values = [
        entry.sequence,
        entry.close_ns,
        list(map(_BAR_VALUES, entry.bars)),
        list(map(_FILL_VALUES, entry.fills)),
        [(_ORDER_VALUES(order), reason) for order, reason in entry.orders],
    ]
    body = json.dumps(values, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _decode(body: bytes) -> JournalEntry:
    sequence, close_ns, bars, fills, orders = json.loads(body)
    return JournalEntry(
        sequence,
        close_ns,
        tuple(_bar(*values) for values in bars),
        tuple(FillRecord(*values) for values in fills),
        tuple((Order(*values), reason) for values, reason in orders),
    )


def _bar(*values: Any) -> BarRecord:
    *rest, flags = values
    return BarRecord(*rest, tuple(flags))  # type: ignore[call-arg]
