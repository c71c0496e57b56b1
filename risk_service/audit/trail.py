"""The audit trail behind one door: opened, written, waited for, read."""

import contextlib
from pathlib import Path
from typing import Final

from risk_service.audit.chain import AuditRow
from risk_service.audit.database import Database
from risk_service.audit.decision import Decision
from risk_service.audit.journal import Entry, Journal
from risk_service.audit.mover import Mover
from risk_service.audit.rows import StoredRow, add_rows, last_decisions, read_page
from risk_service.audit.schema import prepare_schema
from tradewind.errors import StorageError

__all__ = ["AuditTrail"]

_JOURNAL_BYTES: Final = 64 * 1024 * 1024
_PAGE_BYTES: Final = 1024 * 1024


class AuditTrail:
    """Every decision of one service, in the order in which they were made.

    A row is durable on the local disk when `wait` returns, and in the database a moment later.

    Args:
        database: Where the rows end up; closed with the trail.
        journal: The local file that makes them durable.
        journal_bytes: Size over which the journal is cut back.

    Attributes:
        last_decisions: The last decision of each account when the trail was opened.

    Raises:
        StorageError: The database or the journal cannot be used, or another service uses it.
    """

    def __init__(
        self, database: Database, journal: Path, *, journal_bytes: int = _JOURNAL_BYTES
    ) -> None:
        self._database = database
        database.create_file()
        with contextlib.ExitStack() as undo:
            undo.callback(database.close)
            with database.exclusive_connection() as connection:
                with connection.begin():
                    database_id = prepare_schema(connection)
                database.settle()  # a journal that knows it must not outlive it
                self._journal = Journal(journal, database_id)
                undo.callback(self._journal.close)
                recovered = list(map(StoredRow.of, self._journal.recovered))
                with connection.begin():
                    head = add_rows(connection, recovered)
                database.settle()  # before the journal begins anew
                with connection.begin():
                    self.last_decisions = list(last_decisions(connection))
            self._mover = Mover(database, self._journal, head, journal_bytes)
            self._journal.start(head, self._mover.deliver)
            self._mover.start()
            undo.pop_all()

    def check(self) -> None:
        """Does nothing while decisions can be recorded.

        Raises:
            StorageError: They cannot.
        """
        if problem := self._mover.problem:
            raise StorageError(problem)

    def is_failing(self) -> bool:
        """Whether `check` raises."""
        return self._mover.problem is not None

    def submit(self, decision: Decision) -> Entry:
        """Gives a decision its place in the order; `wait` makes it durable."""
        return self._journal.submit(decision.to_json(), decision.copies())

    def wait(self, entry: Entry, *, in_database: bool = False) -> AuditRow:
        """Waits until a decision is durable.

        Args:
            entry: From `submit`.
            in_database: Waits until the database has it on its disk, too.

        Raises:
            StorageError: It could not be made durable.
        """
        row = self._journal.wait(entry)
        if in_database:
            self._mover.wait_until_stored(row.sequence)
            self._database.settle()
        return row

    def page(self, account: str, before: int | None, size: int) -> list[AuditRow]:
        """Decisions in falling order of sequence, all those included that `wait` returned for.

        Args:
            account: Only of this account; of every one when empty.
            before: Only rows with a smaller sequence.
            size: At most this many; fewer when they are long.

        Raises:
            StorageError: The database cannot be read or is behind.
        """
        self._mover.wait_until_stored(self._journal.head.sequence)
        with self._database.snapshot() as connection:
            return read_page(connection, account, before, size, _PAGE_BYTES)

    def close(self) -> None:
        """Brings what is left to the database and closes."""
        self._mover.close()
        self._journal.close()
        self._database.close()
