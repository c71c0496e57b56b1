"""The journal: what makes a decision durable before its answer leaves.

One line a row, appended and flushed to the disk (fdatasync). Rows that arrive while a flush is
under way share the next one, so a caller waits for at most two flushes however many callers there
are. The rows then move to the database at its own pace; once it has them all, the journal is cut
back to its first line, the identity of the database it belongs to.
"""

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from risk_service.audit.chain import GENESIS, AuditRow, Head, extend_chain
from tradewind.errors import StorageError

__all__ = ["Entry", "Journal"]

_LOG = logging.getLogger(__name__)


class Entry:
    """A payload on its way to the disk: with a `row` once it is durable, or with an `error`."""

    def __init__(self, payload: str) -> None:
        self.payload = payload
        self.row: AuditRow | None = None
        self.error: StorageError | None = None

    @property
    def is_settled(self) -> bool:
        """Whether its fate is known."""
        return self.row is not None or self.error is not None


class Journal:
    """An append-only file of rows with group commit; owned by one process at a time.

    Args:
        path: The file; created when missing.
        database_id: Identity of the database it belongs to.

    Attributes:
        recovered: The rows that the file held when it was opened.

    Raises:
        StorageError: The file cannot be opened, is in use, is damaged or belongs to another
            database.
    """

    def __init__(self, path: Path, database_id: str) -> None:
        self._path = path
        self._header = f"tradewind risk journal 1 of database {database_id}\n".encode()
        self._changed = threading.Condition()
        self._waiting: list[Entry] = []
        self._flushing = False
        self._closed = False
        self._head = GENESIS
        self._deliver: Callable[[Sequence[AuditRow]], None] = lambda _: None
        self._size = 0
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as problem:
            raise self._failure("opened", problem) from None
        try:
            self.recovered = self._recover()
        except OSError as problem:
            os.close(self._descriptor)
            raise self._failure("recovered", problem) from None
        except StorageError:
            os.close(self._descriptor)
            raise

    def start(self, head: Head, deliver: Callable[[Sequence[AuditRow]], None]) -> None:
        """Begins to take rows; the database must have every row of `recovered`.

        Args:
            head: The end of the chain in the database.
            deliver: Takes rows that have become durable, in their order; it must not block.

        Raises:
            StorageError: The file cannot be written.
        """
        try:
            self._cut_back(len(self._header))
        except OSError as problem:
            raise self._failure("written", problem) from None
        self._head = head
        self._deliver = deliver

    def submit(self, payload: str) -> Entry:
        """Takes a place in the order of the rows; `wait` makes the row durable.

        Raises:
            StorageError: The journal is closed.
        """
        entry = Entry(payload)
        with self._changed:
            if self._closed:
                raise self._closed_error()
            self._waiting.append(entry)
        return entry

    def wait(self, entry: Entry) -> AuditRow:
        """Waits until the row of an entry is on the disk; flushes it if nobody else does.

        Raises:
            StorageError: It could not be written; the chain goes on without it.
        """
        with self._changed:
            while self._flushing and not entry.is_settled:
                self._changed.wait()
            batch: list[Entry] = []
            if not entry.is_settled:
                batch, self._waiting = self._waiting, batch
                self._flushing = True
        if batch:
            try:
                self._flush(batch)
            finally:
                self._end_flush()
        if entry.error is not None:
            raise entry.error
        assert entry.row is not None
        return entry.row

    @property
    def head(self) -> Head:
        """The end of the chain."""
        return self._head

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    def relieve(self, store: Callable[[], Head]) -> None:
        """Cuts the file back; new rows wait meanwhile.

        Args:
            store: Brings every row that was delivered to the database and returns the end of the
                chain there.

        Raises:
            StorageError: What `store` raises, or the file cannot be cut back.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._flushing)
            self._flushing = True
        try:
            if store() == self._head:
                self._cut_back(len(self._header))
        except OSError as problem:
            raise self._failure("cut back", problem) from None
        finally:
            self._end_flush()

    def close(self) -> None:
        """Closes the file; what is in it stays, and who still waits for a row gets an error."""
        with self._changed:
            self._changed.wait_for(lambda: not self._flushing)
            self._closed = True
            for entry in self._waiting:
                entry.error = self._closed_error()
            self._waiting.clear()
            self._changed.notify_all()
        os.close(self._descriptor)

    def _flush(self, batch: Sequence[Entry]) -> None:
        try:
            rows = extend_chain(self._head, [entry.payload for entry in batch])
            data = b"".join(_write_line(row) for row in rows)
            _write_fully(self._descriptor, data)
            os.fdatasync(self._descriptor)
        except Exception as problem:  # whatever it is, nobody may wait for these rows for ever
            error = self._failure("written", problem)
            self._forget_rest()
            for entry in batch:
                entry.error = error
            return
        self._size += len(data)
        self._head = rows[-1].head
        self._deliver(rows)
        for entry, row in zip(batch, rows, strict=True):
            entry.row = row

    def _end_flush(self) -> None:
        with self._changed:
            self._flushing = False
            self._changed.notify_all()

    def _forget_rest(self) -> None:
        # The next rows must not stand behind half a line: recovery would end there.
        try:
            self._cut_back(self._size)
        except OSError as problem:
            _LOG.error("%s", self._failure("cut back", problem))

    def _cut_back(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)
        self._size = size

    def _recover(self) -> list[AuditRow]:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"the journal {self._path} is in use by another process") from None
        data = self._path.read_bytes()
        if self._header.startswith(data):  # empty, or its creation was interrupted
            os.ftruncate(self._descriptor, 0)
            _write_fully(self._descriptor, self._header)
            self._cut_back(len(self._header))
            _flush_folder(self._path.parent)
            return []
        if not data.startswith(self._header):
            raise StorageError(f"the journal {self._path} does not belong to this database")
        rows, self._size = _read_rows(data, len(self._header), self._path)
        return rows

    def _closed_error(self) -> StorageError:
        return StorageError(f"the journal {self._path} is closed")

    def _failure(self, what: str, problem: Exception) -> StorageError:
        cause = problem.strerror if isinstance(problem, OSError) else type(problem).__name__
        return StorageError(f"the journal {self._path} cannot be {what}: {cause}")


def _write_line(row: AuditRow) -> bytes:
    return f"{row.sequence} {row.previous_hash} {row.row_hash} {row.payload}\n".encode()


def _read_line(line: bytes) -> AuditRow | None:
    """The row of a line; None when the line is damaged."""
    try:
        sequence, previous_hash, row_hash, payload = line.decode("ascii").split(" ", 3)
        row = AuditRow(int(sequence), payload, previous_hash, row_hash)
    except ValueError:
        return None
    return row if row.is_whole() else None


def _read_rows(data: bytes, start: int, path: Path) -> tuple[list[AuditRow], int]:
    """The whole rows from `start` on, and where they end.

    What follows them was still on its way to the disk, so no answer had left: unless a whole row
    stands behind it, which only damage to what was on the disk can explain.
    """
    rows: list[AuditRow] = []
    size = start
    lines = data[start:].splitlines(keepends=True)
    for index, line in enumerate(lines):
        row = _read_line(line[:-1]) if line.endswith(b"\n") else None
        if row is None or (rows and not row.follows(rows[-1].head)):
            rest = lines[index + 1 :]
            if row is not None or any(_read_line(later.rstrip(b"\n")) for later in rest):
                raise StorageError(
                    f"the journal {path} is damaged at line {index + 2}, before rows that are "
                    "whole: decisions that were answered may be lost; move the file away to start"
                )
            _LOG.warning(
                "dropped the last %d bytes of %s: no answer to them had left",
                len(data) - size,
                path,
            )
            break
        rows.append(row)
        size += len(line)
    return rows, size


def _write_fully(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
