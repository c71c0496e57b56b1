"""What is asked of the tables: rows added to the chain, and read from it."""

from collections.abc import Callable, Generator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, select, update

from risk_service.audit.chain import AuditRow, Head
from risk_service.audit.decision import Copies
from risk_service.audit.schema import DECISIONS, HEAD
from tradewind.errors import StorageError

__all__ = ["StoredRow", "add_rows", "read_all", "read_head", "read_page", "read_row"]

_ROWS_BETWEEN_PAUSES: Final = 4
_CHAIN_COLUMNS = (
    DECISIONS.c.sequence,
    DECISIONS.c.payload,
    DECISIONS.c.previous_hash,
    DECISIONS.c.row_hash,
)


class StoredRow(NamedTuple):
    """A row with every column of `decisions`, in their order."""

    sequence: int
    decision_id: str
    account: str
    kind: str
    action: str
    decided_at: float
    payload: str
    previous_hash: str
    row_hash: str

    @classmethod
    def of(cls, row: AuditRow, copies: Copies | None = None) -> "StoredRow":
        """The columns of a row.

        Args:
            row: The row.
            copies: What its payload says; read from there when absent.

        Raises:
            ValueError: Its payload is not JSON.
            LookupError, TypeError, AttributeError: Its payload is not a decision.
        """
        copies = copies or Copies.read(row.payload)
        return cls(row.sequence, *copies.columns, row.payload, row.previous_hash, row.row_hash)

    @property
    def link(self) -> AuditRow:
        """The row without the copies."""
        return AuditRow(self.sequence, self.payload, self.previous_hash, self.row_hash)


def add_rows(
    connection: Connection, rows: Sequence[StoredRow], pause: Callable[[], object] | None = None
) -> Head:
    """Adds rows to the chain in the transaction of the connection.

    Rows that the database already has are passed over, so that a transaction whose outcome was
    lost with its connection can simply be tried again.

    Args:
        connection: Its transaction is open.
        rows: Rows in their order.
        pause: Called every few rows, to leave the core to others.

    Returns:
        The new end of the chain.

    Raises:
        StorageError: The rows do not carry on the chain that is there.
    """
    head = read_head(connection, lock=True)
    missing = [row for row in rows if row.sequence > head.sequence]
    if not missing:
        return head
    if not missing[0].link.follows(head):
        raise StorageError(
            f"the database ends at decision {head.sequence} with another hash than decision "
            f"{missing[0].sequence} follows: it was changed from outside, or is not the one "
            "these decisions were made for"
        )
    # Straight to the driver, which lets go of the interpreter at each row: calls are answered
    # meanwhile, as they are not while something prepares the rows.
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    marks = ", ".join(mark for _ in StoredRow._fields)
    into = f"decisions ({', '.join(StoredRow._fields)})"
    statement = f"INSERT INTO {into} VALUES ({marks})"  # noqa: S608
    at_once = len(missing) if pause is None else _ROWS_BETWEEN_PAUSES
    for start in range(0, len(missing), at_once):
        connection.exec_driver_sql(statement, missing[start : start + at_once])
        if pause is not None:
            pause()
    end = missing[-1].link.head
    connection.execute(update(HEAD).values(sequence=end.sequence, row_hash=end.row_hash))
    return end


def read_head(connection: Connection, *, lock: bool = False) -> Head:
    """The end of the chain as the database records it.

    Raises:
        StorageError: The record is missing.
    """
    query = select(HEAD.c.sequence, HEAD.c.row_hash)
    found = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if found is None:
        raise StorageError("the database has lost the record of where its chain ends")
    return Head(found.sequence, found.row_hash)


def read_page(
    connection: Connection, account: str, before: int | None, size: int, max_bytes: int
) -> list[AuditRow]:
    """Rows in falling order of sequence.

    Args:
        connection: The connection.
        account: Only of this account; of every one when empty.
        before: Only rows with a smaller sequence.
        size: At most this many.
        max_bytes: Ends the page once its payloads are longer; it has at least one row.
    """
    query = select(*_CHAIN_COLUMNS).order_by(DECISIONS.c.sequence.desc()).limit(size)
    if account:
        query = query.where(DECISIONS.c.account == account)
    if before is not None:
        query = query.where(DECISIONS.c.sequence < before)
    rows: list[AuditRow] = []
    length = 0
    for found in connection.execute(query):
        rows.append(AuditRow(*found))
        length += len(rows[-1].payload)
        if length > max_bytes:
            break
    return rows


def read_row(connection: Connection, sequence: int) -> AuditRow | None:
    """The row of that number; None when there is none."""
    query = select(*_CHAIN_COLUMNS).where(DECISIONS.c.sequence == sequence)
    found = connection.execute(query).one_or_none()
    return None if found is None else AuditRow(*found)


def read_all(connection: Connection, after: int = 0) -> Generator[StoredRow, None, None]:
    """The rows behind the one of that number, in the order of the chain; every row by default."""
    query = select(DECISIONS).where(DECISIONS.c.sequence > after).order_by(DECISIONS.c.sequence)
    with connection.execution_options(yield_per=1000).execute(query) as found:
        for row in found:
            yield StoredRow._make(row)
