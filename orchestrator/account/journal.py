"""The orchestrator's write-ahead journal: what it must know after a crash, a line for each tick.

A line is written before the orders in it are sent. A line with orders survives a crash of the
machine, every other one a crash of the process. A crash of the machine may take any of the lines
that were not flushed yet, also one before others of them: each line says up to where all were, and
behind one that was flushed stands a mark until the next one takes its place. What was flushed and
is damaged now is never dropped, for an order in it may have been sent: the start is refused.
"""

import dataclasses
import fcntl
import json
import logging
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from orchestrator.brokers.orders import Order, OrderKind, TimeInForce
from orchestrator.records import BarRecord, FillRecord
from tradewind.errors import StorageError
from tradewind.process.durable import FLUSHED_MARK, AppendFile, sync_folder, was_flushed

__all__ = ["CURE", "Journal", "JournalEntry"]

_logger = logging.getLogger(__name__)

CURE: Final = (
    "restore it from a copy, or settle with the broker what is held and move journal, decision log "
    "and the paper broker's books away to begin anew"
)
"""What to do about a journal that has lost what it had."""


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
        path: The file; made when it is missing. What a crash of the machine tore is cut off.

    Attributes:
        entries: Of earlier runs, oldest first.

    Raises:
        StorageError: It cannot be read or written, is in use by another process, or is damaged
            in what had been flushed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                self._lock(descriptor)
                self.entries, whole = self._read(path.read_bytes().rstrip(b"\0"))  # the room
                self._file = AppendFile(descriptor, whole)
                self._file.mark()
                sync_folder(path.parent)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as problem:
            raise self._error(problem) from problem
        self._written_to = self._flushed_to = _next_sequence(self.entries)

    def append(self, entry: JournalEntry) -> None:
        """Writes an entry; with orders it returns only when the disk has it.

        Raises:
            StorageError: It could not be written: nothing in it may be sent.
        """
        try:
            self._file.append(_encode(entry, self._flushed_to))
            self._written_to = entry.sequence + 1
            if entry.orders:
                self._flush()
                self._file.mark()
        except OSError as problem:
            raise self._error(problem) from problem

    def sync(self) -> None:
        """Makes every entry so far survive a crash of the machine.

        Raises:
            StorageError: The disk failed.
        """
        try:
            self._flush()
        except OSError as problem:
            raise self._error(problem) from problem

    def close(self) -> None:
        """Lets go of the file; nobody may append or flush any more."""
        if self._flushed_to == self._written_to:
            self._file.mark()
        self._file.close()

    def _flush(self) -> None:
        written_to = self._written_to
        self._file.flush()
        # Another thread may flush meanwhile; too small a number only says less.
        self._flushed_to = max(self._flushed_to, written_to)

    def _lock(self, descriptor: int) -> None:
        # Another orchestrator may be in the middle of a line, which must not be cut off.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"journal {self._path} is in use by another process") from None

    def _read(self, data: bytes) -> tuple[list[JournalEntry], int]:
        """The entries, and where they end."""
        entries: list[JournalEntry] = []
        whole = 0
        for line in data.splitlines(keepends=True):
            found = _decode(line)
            if found is None:
                break
            if found[0].sequence != _next_sequence(entries):
                raise self._damage(entries, "does not follow the line before it")
            entries.append(found[0])
            whole += len(line)
        rest = data[whole:]
        if rest in (b"", FLUSHED_MARK):
            return entries, whole
        sequence = _next_sequence(entries)
        later = map(_decode, rest.splitlines(keepends=True))
        if was_flushed(rest) or any(item is not None and item[1] > sequence for item in later):
            raise self._damage(entries, "had been on the disk")
        _logger.warning(
            "journal %s: dropped its last %d bytes, which a crash tore: no order in them was sent",
            self._path,
            len(rest),
        )
        return entries, whole

    def _damage(self, before: Sequence[JournalEntry], what: str) -> StorageError:
        return StorageError(
            f"journal {self._path} is damaged at line {len(before) + 1}: it {what}, so orders in "
            f"it may have been sent; {CURE}"
        )

    def _error(self, problem: OSError) -> StorageError:
        return StorageError(f"journal {self._path}: {problem}")


def _values(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """Takes a record apart, in the order in which its fields were declared."""
    return attrgetter(*(item.name for item in dataclasses.fields(kind)))


_ENCODER = json.JSONEncoder(separators=(",", ":"))
_OLDER_ORDER: Final = 6  # values of an order in journals of releases that knew no kinds
_BAR_VALUES, _FILL_VALUES, _ORDER_VALUES = map(_values, (BarRecord, FillRecord, Order))


def _next_sequence(entries: Sequence[JournalEntry]) -> int:
    return entries[-1].sequence + 1 if entries else 0


def _encode(entry: JournalEntry, flushed_to: int) -> bytes:
    values = [
        entry.sequence,
        entry.close_ns,
        list(map(_BAR_VALUES, entry.bars)),
        list(map(_FILL_VALUES, entry.fills)),
        [(_ORDER_VALUES(order), reason) for order, reason in entry.orders],
        flushed_to,
    ]
    body = _ENCODER.encode(values).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _decode(line: bytes) -> tuple[JournalEntry, int] | None:
    """The entry of a line, and the entry before which all had been flushed; None when damaged."""
    body = line[9:-1]
    if not line.endswith(b"\n") or line[:9] != b"%08x " % zlib.crc32(body):
        return None
    # Lines of earlier releases were on the disk one after the other, and do not say it.
    sequence, close_ns, bars, fills, orders, *flushed_to = json.loads(body)
    entry = JournalEntry(
        sequence,
        close_ns,
        tuple(_bar(*values) for values in bars),
        tuple(FillRecord(*values) for values in fills),
        tuple((_order(*values), reason) for values, reason in orders),
    )
    return entry, flushed_to[0] if flushed_to else sequence


def _bar(*values: Any) -> BarRecord:
    *rest, flags = values
    return BarRecord(*rest, tuple(flags))  # type: ignore[call-arg]


def _order(*values: Any) -> Order:
    if len(values) == _OLDER_ORDER:
        return Order(*values)
    *rest, kind, limit_price, stop_price, time_in_force = values
    return Order(  # type: ignore[call-arg]  # the rest are six
        *rest, OrderKind(kind), limit_price, stop_price, TimeInForce(time_in_force)
    )
