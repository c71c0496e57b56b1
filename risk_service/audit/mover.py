"""Carries rows from the journal to the database, off the path of any answer."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from risk_service.audit.chain import AuditRow, Head
from risk_service.audit.database import Database
from risk_service.audit.decision import Copies
from risk_service.audit.journal import Journal
from risk_service.audit.rows import StoredRow, add_rows
from tradewind.errors import StorageError

__all__ = ["Mover"]

_LOG = logging.getLogger(__name__)
_BATCH_ROWS: Final = 500
# A commit costs about the same for one row as for many, and answers wait for the disk beside it.
_GATHER_S: Final = 1.0
# A call that comes while rows are added waits for the core until the next pause.
_PAUSE_S: Final = 0.0003
_RETRY_S: Final = 0.5
_WAIT_S: Final = 5.0
_SILENT_S: Final = 5.0
_MAX_ROWS_BEHIND: Final = 10_000


class Mover:
    """One thread that holds the database for itself and adds rows in batches.

    It looks at the database once a second even when there is nothing to add, so that a broken
    one is noticed before a decision depends on it; sooner when somebody waits for a row. Rows that
    nobody waits for do not wake it: it would take the interpreter from the calls that made them.

    Args:
        database: Where the rows go.
        journal: Where they come from.
        head: The end of the chain in the database.
        journal_bytes: Size over which the journal is cut back.
        anchor: Called with the end of the chain before the journal lets go of what is in it.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal,
        head: Head,
        journal_bytes: int,
        anchor: Callable[[Head], None],
    ) -> None:
        self._database = database
        self._journal = journal
        self._head = head
        self._journal_bytes = journal_bytes
        self._anchor = anchor
        self._changed = threading.Condition()
        self._rows: deque[StoredRow] = deque()
        self._waiting_count = 0
        self._closing = False
        self._problem: str | None = "the database has not been reached yet"
        self._answered_at = time.monotonic()
        self._tried = threading.Event()
        self._never = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-mover", daemon=True)

    def start(self) -> None:
        """Starts the thread and waits until it has the database.

        Raises:
            StorageError: It cannot have it.
        """
        self._thread.start()
        self._tried.wait()
        if problem := self.problem:
            self.close()
            raise StorageError(problem)

    def deliver(self, rows: Sequence[AuditRow], copies: Sequence[Copies | None]) -> None:
        """Takes rows that are durable in the journal, in their order, and what they say."""
        stored = list(map(StoredRow.of, rows, copies))
        with self._changed:
            self._rows.extend(stored)
            if len(self._rows) >= _BATCH_ROWS:
                self._changed.notify_all()

    @property
    def problem(self) -> str | None:
        """Why rows do not reach the database; None while they do."""
        if self._problem is not None:
            return self._problem
        if len(self._rows) > _MAX_ROWS_BEHIND:
            return f"the database is more than {_MAX_ROWS_BEHIND} decisions behind"
        if time.monotonic() - self._answered_at > _SILENT_S:
            return f"the database has not answered for {_SILENT_S:g} s"
        return None

    def wait_until_stored(self, sequence: int) -> None:
        """Waits until the database has the row of that number.

        Raises:
            StorageError: It fails, or does not have it in time.
        """
        with self._changed:
            self._waiting_count += 1
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._head.sequence >= sequence or self._problem is not None, _WAIT_S
            )
            self._waiting_count -= 1
            if self._head.sequence >= sequence:
                return
            raise StorageError(
                self._problem or f"the database did not take a decision within {_WAIT_S:g} s"
            )

    def close(self) -> None:
        """Adds what is left and ends; what a broken database does not take stays in the journal."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                with self._database.exclusive_connection() as connection:
                    self._move(connection)
                return
            except StorageError as problem:
                self._fail(str(problem))
            except Exception as problem:  # the thread must not die: the service would hang on it
                _LOG.exception("moving decisions to the database failed")
                self._fail(f"moving decisions to the database failed: {type(problem).__name__}")
            self._database.close()
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, _RETRY_S):
                    return

    def _move(self, connection: Connection) -> None:
        identity = self._database.file_identity()
        closing = False
        while not closing:
            if self._database.file_identity() != identity:
                raise StorageError("the file of the database was replaced")
            self._store(connection, _BATCH_ROWS)
            if self._journal.size > self._journal_bytes:
                self._journal.relieve(lambda: self._settle(connection))
            closing = self._gather()
        self._journal.relieve(lambda: self._settle(connection))

    def _settle(self, connection: Connection) -> Head:
        """Adds all that is left and has it on the disk, so that the journal can let go of it."""
        head = self._store(connection, len(self._rows))
        self._database.settle()
        self._anchor(head)
        return head

    def _store(self, connection: Connection, count: int) -> Head:
        rows = [self._rows[index] for index in range(min(count, len(self._rows)))]
        with connection.begin():
            head = add_rows(connection, rows, self._pause)
        if head != (rows[-1].link.head if rows else self._head):
            raise StorageError("the end of the chain in the database was changed from outside")
        with self._changed:
            for _ in rows:
                self._rows.popleft()
            self._head = head
            self._answered_at = time.monotonic()
            if self._problem is not None and self._tried.is_set():
                _LOG.warning("the database takes decisions again")
            self._problem = None
            self._changed.notify_all()
        self._tried.set()
        return head

    def _pause(self) -> None:
        # Not time.sleep, which fails under the libfaketime that moves clocks in tests.
        self._never.wait(_PAUSE_S)

    def _gather(self) -> bool:
        """Waits until it is time to look at the database; returns whether to end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting_count or self._closing or len(self._rows) >= _BATCH_ROWS,
                _GATHER_S,
            )
            return self._closing

    def _fail(self, problem: str) -> None:
        with self._changed:
            if problem != self._problem:
                _LOG.error("decisions do not reach the database: %s", problem)
            self._problem = problem
            self._changed.notify_all()
        self._tried.set()
