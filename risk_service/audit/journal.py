"""The journal: what makes a decision durable before its answer leaves.

A line a flush (fdatasync). Rows that arrive while a flush is under way share the next one and its
line, so a caller waits for at most two flushes however many callers there are, and a machine that
crashes within a flush leaves its line whole or not at all. The rows then move to the database at
its own pace; once it has them all, the journal is cut back to its first line, the identity of the
database it belongs to.

Behind a line that has been flushed stands a mark, until the next line takes its place: what stands
before the mark, or before a later line, was on the disk, and its answers may have left. Such a line
that is damaged now is damage, and the start is refused. One that was being written is not whole
either, but has nothing behind it, and lacks its end or pages within: nobody had an answer to it.
"""

import fcntl
import logging
import os
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from risk_service.audit.chain import GENESIS, AuditRow, Head, extend_chain
from risk_service.audit.decision import Copies
from tradewind.errors import StorageError
from tradewind.process.durable import FLUSHED_MARK, AppendFile, sync_folder, was_flushed

__all__ = ["Entry", "Journal"]

_LOG = logging.getLogger(__name__)
_Deliver: TypeAlias = Callable[[Sequence[AuditRow], Sequence[Copies | None]], None]


class Entry:
    """A payload on its way to the disk: with a `row` once it is durable, or with an `error`.

    `copies` are what the payload says, for who has to know without reading it.
    """

    __slots__ = ("copies", "error", "payload", "row")

    def __init__(self, payload: str, copies: Copies | None) -> None:
        self.payload = payload
        self.copies = copies
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
        is_of_before: Whether a release wrote it that knew neither marks nor anchors.

    Raises:
        StorageError: The file cannot be opened, is in use, is damaged or belongs to another
            database.
    """

    def __init__(self, path: Path, database_id: str) -> None:
        self._path = path
        # Version 1 had a line for each row, which reads the same; version 2 had no marks.
        self._headers = [
            f"tradewind risk journal {version} of database {database_id}\n".encode()
            for version in (3, 2, 1)
        ]
        self.is_of_before = False
        self._flushed_size = 0
        self._changed = threading.Condition()
        self._waiting: list[Entry] = []
        self._flushing = False
        self._closed = False
        self._head = GENESIS
        self._deliver: _Deliver = lambda _rows, _copies: None
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)
        except OSError as problem:
            raise self._failure("opened", problem) from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StorageError(f"the journal {path} is not a regular file")
            self.recovered, size = self._recover(descriptor)
            self._file = AppendFile(descriptor, size)
        except OSError as problem:
            os.close(descriptor)
            raise self._failure("recovered", problem) from None
        except StorageError:
            os.close(descriptor)
            raise

    def start(self, head: Head, deliver: _Deliver) -> None:
        """Begins to take rows; the database must have every row of `recovered`.

        Args:
            head: The end of the chain in the database.
            deliver: Takes rows that have become durable, in their order, and the copies that were
                submitted with them; it must not block.

        Raises:
            StorageError: The file cannot be written.
        """
        try:
            self._file.cut_back(0)
            self._file.append(self._headers[0])
            self._file.flush()
        except OSError as problem:
            raise self._failure("written", problem) from None
        self._flushed_size = self._file.size
        self._head = head
        self._deliver = deliver

    def submit(self, payload: str, copies: Copies | None = None) -> Entry:
        """Takes a place in the order of the rows; `wait` makes the row durable.

        Args:
            payload: Of the row.
            copies: What it says, where that is known.

        Raises:
            StorageError: The journal is closed.
        """
        entry = Entry(payload, copies)
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
        """Bytes in the file, without the room behind them."""
        return self._file.size

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
                self._file.cut_back(len(self._headers[0]))
                self._flushed_size = self._file.size
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
        self._file.close()

    def _flush(self, batch: Sequence[Entry]) -> None:
        try:
            rows = extend_chain(self._head, [entry.payload for entry in batch])
            self._file.append(_write_line(rows))
            self._file.flush()
        except Exception as problem:  # whatever it is, nobody may wait for these rows for ever
            error = self._failure("written", problem)
            self._forget_rest()
            for entry in batch:
                entry.error = error
            return
        self._flushed_size = self._file.size
        self._file.mark()
        self._head = rows[-1].head
        self._deliver(rows, [entry.copies for entry in batch])
        for entry, row in zip(batch, rows, strict=True):
            entry.row = row

    def _end_flush(self) -> None:
        with self._changed:
            self._flushing = False
            self._changed.notify_all()

    def _forget_rest(self) -> None:
        # The next rows must not stand behind half a line: recovery would end there.
        try:
            self._file.cut_back(self._flushed_size)
        except OSError as problem:
            _LOG.error("%s", self._failure("cut back", problem))
        else:
            if self._flushed_size > len(self._headers[0]):
                self._file.mark()

    def _recover(self, descriptor: int) -> tuple[list[AuditRow], int]:
        """The rows in the file, and where they end."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"the journal {self._path} is in use by another process") from None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read().rstrip(b"\0")  # the room
        if any(header.startswith(data) for header in self._headers):
            sync_folder(self._path.parent)  # empty, or its creation was interrupted
            self.is_of_before = data in self._headers[1:]
            return [], len(data) if data in self._headers else 0
        for header in self._headers:
            if data.startswith(header):
                self.is_of_before = header is not self._headers[0]
                return _read_rows(data, len(header), self._path)
        raise StorageError(f"the journal {self._path} does not belong to this database")

    def _closed_error(self) -> StorageError:
        return StorageError(f"the journal {self._path} is closed")

    def _failure(self, what: str, problem: Exception) -> StorageError:
        cause = problem.strerror if isinstance(problem, OSError) else type(problem).__name__
        return StorageError(f"the journal {self._path} cannot be {what}: {cause}")


def _write_line(rows: Sequence[AuditRow]) -> bytes:
    # No payload has a tab: JSON writes it as \\t.
    written = (f"{row.sequence} {row.previous_hash} {row.row_hash} {row.payload}" for row in rows)
    return "\t".join(written).encode() + b"\n"


def _read_line(line: bytes) -> list[AuditRow]:
    """The rows of a line; none when the line is damaged."""
    rows: list[AuditRow] = []
    try:
        for part in line.decode("ascii").split("\t"):
            sequence, previous_hash, row_hash, payload = part.split(" ", 3)
            row = AuditRow(int(sequence), payload, previous_hash, row_hash)
            if not row.is_whole() or (rows and not row.follows(rows[-1].head)):
                return []
            rows.append(row)
    except ValueError:
        return []
    return rows


def _read_rows(data: bytes, start: int, path: Path) -> tuple[list[AuditRow], int]:
    """The whole rows from `start` on, and where they end.

    Raises:
        StorageError: What follows them was flushed once: answers to it may have left.
    """
    rows: list[AuditRow] = []
    size = start
    while (end := data.find(b"\n", size)) >= 0:
        found = _read_line(data[size:end])
        if not found:
            break
        if rows and not found[0].follows(rows[-1].head):
            raise _damage(path, data[:size], "does not follow the line before it")
        rows += found
        size = end + 1
    rest = data[size:]
    if rest in (b"", FLUSHED_MARK):
        return rows, size
    # One line at most is being written: what has another one behind it was on the disk.
    if was_flushed(rest) or 0 <= rest.find(b"\n") < len(rest) - 1:
        raise _damage(path, data[:size], "is damaged, and had been on the disk")
    _LOG.warning(
        "dropped the last %d bytes of %s: they were being written, and nobody had an answer to "
        "them",
        len(rest),
        path,
    )
    return rows, size


def _damage(path: Path, before: bytes, what: str) -> StorageError:
    line = before.count(b"\n") + 1
    return StorageError(
        f"the journal {path} is damaged at line {line}: it {what}, so decisions in it were "
        "answered and may be lost (halts are in the database as well); restore it, or move it and "
        f"{path}.anchor away to go on without them"
    )
