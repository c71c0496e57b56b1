"""The hash chain: each row's hash covers the row before it, so none can change unseen."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["GENESIS", "AuditRow", "Head", "extend_chain", "hash_row"]


class Head(NamedTuple):
    """The end of a chain: number and hash of its last row; rows are counted from 1."""

    sequence: int
    row_hash: str


GENESIS = Head(0, "0" * 64)
"""The end of a chain without rows."""


class AuditRow(NamedTuple):
    """One link of the chain.

    Attributes:
        sequence: Its place.
        payload: Canonical JSON of the decision.
        previous_hash: `row_hash` of the row before it.
        row_hash: Its own.
    """

    sequence: int
    payload: str
    previous_hash: str
    row_hash: str

    @property
    def head(self) -> Head:
        """The end of a chain that ends here."""
        return Head(self.sequence, self.row_hash)

    def is_whole(self) -> bool:
        """Whether its hash is that of its content."""
        return self.row_hash == hash_row(self.sequence, self.previous_hash, self.payload)

    def follows(self, head: Head) -> bool:
        """Whether it is the next row of a chain that ends at `head`."""
        return self.sequence == head.sequence + 1 and self.previous_hash == head.row_hash


def hash_row(sequence: int, previous_hash: str, payload: str) -> str:
    """SHA-256 over `sequence`, a newline, `previous_hash`, a newline and `payload`, in UTF-8."""
    return hashlib.sha256(f"{sequence}\n{previous_hash}\n{payload}".encode()).hexdigest()


def extend_chain(head: Head, payloads: Sequence[str]) -> list[AuditRow]:
    """The rows that carry on a chain from its end."""
    rows: list[AuditRow] = []
    sequence, previous_hash = head.sequence, head.row_hash
    for payload in payloads:
        sequence += 1
        row = AuditRow(sequence, payload, previous_hash, hash_row(sequence, previous_hash, payload))
        rows.append(row)
        previous_hash = row.row_hash
    return rows
