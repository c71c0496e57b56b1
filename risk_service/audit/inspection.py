"""What is wrong with the rows of a trail, and what may be built on those that are right."""

import contextlib
import itertools
from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, select

from risk_service.audit.anchor import Anchor
from risk_service.audit.chain import GENESIS, Head
from risk_service.audit.decision import Copies, JournaledDecision
from risk_service.audit.rows import StoredRow, read_all, read_head
from risk_service.audit.schema import DECISIONS
from tradewind.errors import StorageError

__all__ = ["WHOLE_ROWS", "check_trail", "read_places", "row_faults"]

WHOLE_ROWS = 50_000
"""A trail of up to this many decisions is checked as a whole at every start."""

_ROWS_AT_ONCE = 500
_CURE = (
    "`python -m risk_service.verify` names every fault. Nothing is decided on a trail that is "
    "broken, since a halt may be missing from it: restore the database from a backup (see "
    "docs/operations/risk-service.md, A broken trail)"
)


def row_faults(row: StoredRow, previous: Head) -> Iterator[str]:
    """What is wrong with a row, in words; nothing when it is whole and the next one.

    Args:
        row: The row.
        previous: The end of the chain before it.
    """
    link = row.link
    if row.sequence > previous.sequence + 1:
        yield f"decisions {previous.sequence + 1} to {row.sequence - 1} are missing"
    elif not link.follows(previous):
        yield f"decision {row.sequence} does not follow decision {previous.sequence}"
    if not link.is_whole():
        yield f"decision {row.sequence} was changed"
        return
    try:
        whole = StoredRow.of(link)
    except (ValueError, LookupError, TypeError, AttributeError):
        yield f"decision {row.sequence} is no decision"
        return
    if whole != row:
        changed = [name for name in StoredRow._fields if getattr(whole, name) != getattr(row, name)]
        yield f"decision {row.sequence} was changed in {', '.join(changed)}"


def check_trail(
    connection: Connection, anchor: Anchor | None, whole_rows: int = WHOLE_ROWS
) -> dict[str, Head]:
    """Checks all that state is restored from: hashes, links, copies, and the end.

    A trail of up to `whole_rows` decisions is checked as a whole, and so is one without an anchor.
    Of a longer one, what came after the anchor is, and every row that holds an account's state.

    Args:
        connection: Its transaction is open.
        anchor: What was known when the journal was last cut back.
        whole_rows: See above.

    Returns:
        Where the last decision of each account stands that has left it with state.

    Raises:
        StorageError: It is broken; the message says at which decision, and what to do.
    """
    head = read_head(connection)
    start, places = GENESIS, dict[str, Head]()
    if anchor is not None:
        _check_anchor(connection, anchor)
        if head.sequence > whole_rows:
            start, places = anchor.head, dict(anchor.places)
    previous = start
    with contextlib.closing(read_all(connection, after=start.sequence)) as rows:
        for row in rows:
            copies = _copies(row, previous)
            previous = Head(row.sequence, row.row_hash)
            if copies.has_state:
                places[copies.account] = previous
            else:
                places.pop(copies.account, None)
    if previous.sequence < head.sequence:
        raise _broken(
            f"decisions {previous.sequence + 1} to {head.sequence} are missing from its end"
        )
    if previous != head:
        raise _broken(f"it does not end at decision {head.sequence} as recorded")
    return places


def read_places(connection: Connection, places: Mapping[str, Head]) -> Iterator[JournaledDecision]:
    """The decisions that stand at the places.

    Raises:
        StorageError: One is missing, is another one, or was changed.
    """
    by_sequence = {place.sequence: (name, place) for name, place in places.items()}
    sequences = iter(sorted(by_sequence))
    while wanted := list(itertools.islice(sequences, _ROWS_AT_ONCE)):
        query = select(DECISIONS).where(DECISIONS.c.sequence.in_(wanted))
        found = {row.sequence: StoredRow(*row) for row in connection.execute(query)}
        for sequence in wanted:
            name, place = by_sequence[sequence]
            row = found.get(sequence)
            if row is None:
                raise _broken(f"decision {sequence}, the last on account {name}, is missing")
            if row.row_hash != place.row_hash or next(_own_faults(row), None):
                raise _broken(f"decision {sequence}, the last on account {name}, was changed")
            yield JournaledDecision.from_json(row.payload)


def _copies(row: StoredRow, previous: Head) -> Copies:
    """What a row says, once it is known to be right. Every start waits for this."""
    link = row.link
    if link.follows(previous) and link.is_whole():
        try:
            copies = Copies.read(row.payload)
        except (ValueError, LookupError, TypeError, AttributeError):
            pass
        else:
            if row[1:6] == copies.columns:
                return copies
    raise _broken("; ".join(row_faults(row, previous)))


def _own_faults(row: StoredRow) -> Iterator[str]:
    return row_faults(row, Head(row.sequence - 1, row.previous_hash))


def _check_anchor(connection: Connection, anchor: Anchor) -> None:
    if anchor.head == GENESIS:
        return
    sequence = anchor.head.sequence
    query = select(DECISIONS.c.row_hash).where(DECISIONS.c.sequence == sequence)
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        raise _broken(f"decision {sequence}, which was there before, is missing")
    if found != anchor.head.row_hash:
        raise _broken(f"decision {sequence} is not the one that was there before")


def _broken(problem: str) -> StorageError:
    return StorageError(f"the audit trail is broken: {problem}. {_CURE}")
