"""Verifies the audit trail: `python -m risk_service.verify --database URL`.

Finds a decision that was changed, removed, added or moved, wherever in the trail, and a trail whose
end was cut off. Exit code 0: the trail is whole; 1: it is not, each finding is printed; 2: it
cannot be read.

Someone who can write to the whole database can also rebuild every hash in it, and no check of it
alone can tell. An anchor can, the number and hash of a decision noted elsewhere: `--anchor` checks
that the trail still holds it. This command prints the newest one.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from risk_service.audit.chain import GENESIS, Head
from risk_service.audit.database import Database
from risk_service.audit.inspection import row_faults
from risk_service.audit.rows import read_all, read_head
from tradewind.errors import TradewindError

__all__ = ["find_faults", "main"]

_MAX_SHOWN = 20


def find_faults(connection: Connection, anchors: Sequence[Head] = ()) -> Iterator[str]:
    """What is wrong with the trail, in words; nothing when it is whole.

    Args:
        connection: A snapshot of the database; a service may go on meanwhile.
        anchors: Decisions that the trail must hold.
    """
    expected = GENESIS
    wanted = {anchor.sequence: anchor.row_hash for anchor in anchors}
    for row in read_all(connection):
        yield from row_faults(row, expected)
        if wanted.pop(row.sequence, row.row_hash) != row.row_hash:
            yield f"decision {row.sequence} has another hash than its anchor"
        expected = Head(row.sequence, row.row_hash)
    head = read_head(connection)
    if head.sequence > expected.sequence:
        yield (
            f"decisions {expected.sequence + 1} to {head.sequence} are missing from the end: "
            f"the trail ends at decision {expected.sequence}"
        )
    elif head != expected:
        yield f"the trail does not end at decision {head.sequence} as recorded"
    for sequence in wanted:
        yield f"decision {sequence}, an anchor, is missing"


def _anchor(text: str) -> Head:
    sequence, colon, row_hash = text.partition(":")
    if not colon or not sequence.isdecimal() or len(row_hash) != len(GENESIS.row_hash):
        raise argparse.ArgumentTypeError("not SEQUENCE:HASH")
    return Head(int(sequence), row_hash)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m risk_service.verify",
        description="Finds decisions that were changed, removed, added or moved.",
    )
    parser.add_argument("--database", required=True, metavar="URL")
    parser.add_argument(
        "--anchor",
        type=_anchor,
        action="append",
        default=[],
        metavar="SEQUENCE:HASH",
        help="a decision noted elsewhere, which the trail must hold; may be repeated",
    )
    options = parser.parse_args(arguments)
    try:
        with (
            contextlib.closing(Database(options.database)) as database,
            database.snapshot() as connection,
        ):
            database.require_known(connection)
            faults = list(find_faults(connection, options.anchor))
            head = read_head(connection)
    except TradewindError as problem:
        sys.stderr.write(f"cannot verify: {problem}\n")
        return 2
    for fault in faults[:_MAX_SHOWN]:
        sys.stdout.write(f"{fault}\n")
    if len(faults) > _MAX_SHOWN:
        sys.stdout.write(f"and {len(faults) - _MAX_SHOWN} more\n")
    if faults:
        return 1
    sys.stdout.write(f"{head.sequence} decisions, whole; anchor {head.sequence}:{head.row_hash}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
