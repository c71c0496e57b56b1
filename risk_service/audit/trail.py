"""The audit trail behind one door: opened, written, waited for, read."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from risk_service.audit.anchor import Anchor, anchor_path
from risk_service.audit.chain import AuditRow, Head
from risk_service.audit.database import Database
from risk_service.audit.decision import Copies, JournaledDecision
from risk_service.audit.inspection import WHOLE_ROWS, check_trail, read_places
from risk_service.audit.journal import Entry, Journal
from risk_service.audit.mover import Mover
from risk_service.audit.rows import StoredRow, add_rows, read_page, read_row
from risk_service.audit.schema import prepare_schema
from tradewind.errors import StorageError

__all__ = ["AuditTrail", "Standing"]

_JOURNAL_BYTES: Final = 64 * 1024 * 1024
_PAGE_BYTES: Final = 1024 * 1024


class Standing(NamedTuple):
    """Where the decision stands that left an account with state, and whether that is a halt."""

    place: Head
    is_halted: bool


class AuditTrail:
    """Every decision of one service, in the order in which they were made.

    A row is durable on the local disk when `wait` returns, and in the database a moment later.

    Args:
        database: Where the rows end up; closed with the trail.
        journal: The local file that makes them durable.
        journal_bytes: Size over which the journal is cut back.
        whole_rows: A trail of up to this many decisions is checked as a whole when it is opened.

    Attributes:
        restored: Where the state of each account stood that had any (see `Copies.has_state`) when
            the trail was opened.

    Raises:
        StorageError: The database or the journal cannot be used, another service uses it, or the
            trail is broken.
    """

    def __init__(
        self,
        database: Database,
        journal: Path,
        *,
        journal_bytes: int = _JOURNAL_BYTES,
        whole_rows: int = WHOLE_ROWS,
    ) -> None:
        self._database = database
        self._anchor_path = anchor_path(journal)
        database.create_file()
        with contextlib.ExitStack() as undo:
            undo.callback(database.close)
            with database.exclusive_connection() as connection:
                with connection.begin():
                    self._database_id = prepare_schema(database, connection)
                database.settle()  # a journal that knows it must not outlive it
                self._journal = Journal(journal, self._database_id)
                undo.callback(self._journal.close)
                anchor = self._load_anchor()
                recovered = list(map(StoredRow.of, self._journal.recovered))
                with connection.begin():
                    head = add_rows(connection, recovered)
                    self._check_end(head, recovered, anchor)
                database.settle()  # before the journal begins anew
                with connection.begin():
                    self._places = check_trail(connection, anchor, whole_rows)
                    self.restored = {
                        decision.account: Standing(
                            self._places[decision.account], decision.halt is not None
                        )
                        for decision in read_places(connection, self._places)
                    }
            self._anchor(head)
            self._mover = Mover(database, self._journal, head, journal_bytes, self._anchor)
            self._journal.start(head, self._deliver)
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

    def submit(self, decision: JournaledDecision) -> Entry:
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

    def decision_at(self, place: Head) -> JournaledDecision:
        """The decision that stands at a place.

        Raises:
            StorageError: The database cannot be read, is behind, or has another one there.
        """
        self._mover.wait_until_stored(place.sequence)
        with self._database.snapshot() as connection:
            row = read_row(connection, place.sequence)
        if row is None or row.row_hash != place.row_hash or not row.is_whole():
            raise StorageError(
                f"decision {place.sequence} is not in the database as it was recorded: it was "
                "changed from outside"
            )
        return JournaledDecision.from_json(row.payload)

    def close(self) -> None:
        """Brings what is left to the database and closes."""
        self._mover.close()
        self._journal.close()
        self._database.close()

    def _deliver(self, rows: Sequence[AuditRow], copies: Sequence[Copies | None]) -> None:
        for row, copy in zip(rows, copies, strict=True):
            assert copy is not None
            if copy.has_state:
                self._places[copy.account] = row.head
            else:
                self._places.pop(copy.account, None)
        self._mover.deliver(rows, copies)

    def _anchor(self, head: Head) -> None:
        # No row is delivered meanwhile: the journal, or the one who opens it, waits for this.
        Anchor(self._database_id, head, self._places).save(self._anchor_path)

    def _load_anchor(self) -> Anchor | None:
        if self._journal.is_of_before:
            return None  # an earlier release has run since, and did not move it
        anchor = Anchor.load(self._anchor_path)
        if anchor is not None and anchor.database_id != self._database_id:
            raise StorageError(f"{self._anchor_path} does not belong to this database")
        return anchor

    def _check_end(self, head: Head, recovered: Sequence[StoredRow], anchor: Anchor | None) -> None:
        """Refuses a database that holds what no service has written through this journal."""
        known = recovered[-1].link.head if recovered else None if anchor is None else anchor.head
        if known is None or known == head:
            return
        raise StorageError(
            f"the audit trail is broken: the database ends at decision {head.sequence}, the "
            f"journal and its anchor at decision {known.sequence}: decisions were added or "
            "removed from outside, by a service with another journal, or the journal was cut off. "
            f"Find out which; if the database is right, move the journal and {self._anchor_path} "
            "away (see docs/operations/risk-service.md, A broken trail)"
        )
