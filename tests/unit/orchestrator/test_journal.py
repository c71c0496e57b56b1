"""The write-ahead journal: what a crash leaves of it, and what is on the disk before orders go."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.brokers import Order
from orchestrator.decision_log import BarRecord, FillRecord
from orchestrator.journal import Journal, JournalEntry
from tradewind.errors import StorageError

STEP = 1_800_000_000_000
START = 1_600_000_200_000_000_000


def entry(sequence: int, *, orders: bool = True) -> JournalEntry:
    close_ns = START + sequence * STEP
    # 0.1 + 0.2: only every digit gives the same number again.
    price = 0.1 + 0.2 + sequence
    name = f"default-{sequence}-BTC"
    order = Order(name, "BTC", -1e-9 / 3.0, price, close_ns, close_ns + STEP)
    return JournalEntry(
        sequence,
        close_ns,
        (BarRecord("BTC", close_ns - STEP, price, 9e9, 1e-9, price, 0.0, close_ns, ("GAP",)),),
        (FillRecord(sequence, name, "BTC", 1 / 3, price, price, 0.0, close_ns),),
        ((order, "POLICY"),) if orders else (),
    )


ENTRIES = [entry(0), entry(1, orders=False), entry(2)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of three ticks, the way a run leaves it."""
    path = tmp_path / "state" / "default.journal"
    with closing(Journal(path)) as journal:
        assert journal.entries == []
        for item in ENTRIES:
            journal.append(item)
    return path


def test_journal_gives_back_every_bit_and_goes_on(path: Path) -> None:
    with closing(Journal(path)) as journal:
        assert journal.entries == ENTRIES
        journal.append(entry(3))
    with closing(Journal(path)) as journal:
        assert journal.entries == [*ENTRIES, entry(3)]


def torn_ends(data: bytes) -> Iterator[bytes]:
    """The last line cut at every eighth byte, with zeros where the disk had not written yet."""
    last = data.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(data), 8):
        yield data[:cut]
        yield data[:cut] + bytes(len(data) - cut)
        yield data[:cut] + bytes(len(data) - cut - 1) + b"\n"


def test_journal_with_a_torn_last_line_is_read_to_the_one_before_and_goes_on(path: Path) -> None:
    for torn in torn_ends(path.read_bytes()):
        path.write_bytes(torn)
        with closing(Journal(path)) as journal:
            assert journal.entries == ENTRIES[:2]
            journal.append(entry(2, orders=False))
        with closing(Journal(path)) as journal:
            assert journal.entries == [*ENTRIES[:2], entry(2, orders=False)]


def test_journal_with_damage_before_its_last_line_is_refused_and_left_as_it_is(path: Path) -> None:
    data = path.read_bytes()
    at = data.index(b"\n") + 20
    damaged = data[:at] + b"#" + data[at + 1 :]
    path.write_bytes(damaged)
    for _ in range(2):  # the refusal lets go of the file
        with pytest.raises(StorageError, match="is damaged at line 2"):
            Journal(path)
    assert path.read_bytes() == damaged


def test_journal_in_use_is_refused_to_another(path: Path) -> None:
    with closing(Journal(path)), pytest.raises(StorageError, match="in use by another process"):
        Journal(path)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Inode and size of whatever was synced, in its order."""
    seen: list[tuple[int, int]] = []

    def watch(real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(descriptor: int) -> None:
            real(descriptor)
            status = os.fstat(descriptor)
            seen.append((status.st_ino, status.st_size))

        return sync

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, watch(getattr(os, name)))
    return seen


def test_journal_returns_from_a_tick_with_orders_only_when_the_disk_has_it(
    tmp_path: Path, synced: list[tuple[int, int]]
) -> None:
    path = tmp_path / "new" / "default.journal"
    with closing(Journal(path)) as journal:
        assert synced[-1][0] == path.parent.stat().st_ino  # or the file could be gone by its name
        opened = len(synced)
        journal.append(entry(0, orders=False))
        assert len(synced) == opened
        journal.append(entry(1))
        assert synced[opened:] == [(path.stat().st_ino, path.stat().st_size)]
        journal.append(entry(2, orders=False))
        journal.sync()
        assert synced[-1] == (path.stat().st_ino, path.stat().st_size)


def test_journal_that_cannot_write_says_so_and_loses_nothing_that_it_had(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    with closing(Journal(path)) as journal:
        monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:30]))
        with pytest.raises(StorageError, match="written in part"):
            journal.append(entry(3))
        monkeypatch.setattr(os, "write", real)
    with closing(Journal(path)) as journal:
        assert journal.entries == ENTRIES
