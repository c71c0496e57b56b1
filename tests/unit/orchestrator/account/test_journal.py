"""The write-ahead journal: what a crash leaves of it, and what is on the disk before orders go."""

import errno
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.account.journal import Journal, JournalEntry
from orchestrator.brokers import Order
from orchestrator.decision_log import BarRecord, FillRecord
from tradewind.errors import StorageError

MARK = b"\x01"
ROOT = Path(__file__).resolve().parents[4]
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


def written(path: Path) -> tuple[int, int]:
    """Inode of a file, and where its content ends and the mark or the room behind it begins."""
    return path.stat().st_ino, len(path.read_bytes().rstrip(b"\0").rstrip(MARK))


ENTRIES = [entry(0), entry(1, orders=False), entry(2)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of three ticks, the way a run leaves it."""
    return three_ticks(tmp_path)


def three_ticks(folder: Path) -> Path:
    path = folder / "state" / "default.journal"
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
    """The last line cut at every eighth byte, with zeros where the disk had not written yet.

    No mark stands behind it: that comes after the flush.
    """
    data = data.rstrip(MARK)
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


@settings(max_examples=40)  # each flushes a few times
@given(data=st.data())
def test_journal_with_any_unflushed_part_lost_is_read_to_there_and_never_without_what_was_flushed(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    with_orders = data.draw(st.lists(st.booleans(), min_size=1, max_size=6))
    ordered = [number for number, orders in enumerate(with_orders) if orders]
    in_last_flush: bool = data.draw(st.booleans())
    if ordered and in_last_flush:  # the machine goes down before it ends
        with_orders = with_orders[: ordered.pop() + 1]
    flushed = ordered[-1] + 1 if ordered else 0
    entries = [entry(number, orders=orders) for number, orders in enumerate(with_orders)]
    begin = 0
    with closing(Journal(path)) as journal:
        for item in entries:
            journal.append(item)
            if item.sequence < flushed:
                begin = written(path)[1]
        end = written(path)[1]
        content = bytearray(path.read_bytes())  # as a crash leaves it: the room is still there
        if in_last_flush or len(entries) > flushed:
            content[end:] = bytes(len(content) - end)  # and no mark, which comes after a flush
    page = data.draw(st.integers(16, 600))
    pages = range(begin, end, page)
    for start in data.draw(st.sets(st.sampled_from(pages))) if pages else ():
        stop = min(start + page, end)
        content[start:stop] = bytes(stop - start)
    path.write_bytes(content)
    with closing(Journal(path)) as journal:
        assert len(journal.entries) >= flushed
        assert journal.entries == entries[: len(journal.entries)]
        journal.append(entry(len(journal.entries)))


def test_journal_with_damage_in_what_was_flushed_is_refused_and_left_as_it_is(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.append(entry(3))
    data = path.read_bytes()
    at = data.index(b"\n") + 20
    damaged = data[:at] + b"#" + data[at + 1 :]
    path.write_bytes(damaged)
    for _ in range(2):  # the refusal lets go of the file
        with pytest.raises(StorageError, match="is damaged at line 2"):
            Journal(path)
    assert path.read_bytes() == damaged


def killed(path: Path) -> tuple[bytes, int]:
    """The journal as kill -9 leaves it, and where its last line begins."""
    with closing(Journal(path)) as journal:
        begin = written(path)[1]
        journal.append(entry(3))
        return path.read_bytes(), begin


@settings(max_examples=60)
@given(data=st.data())
def test_journal_whose_last_line_is_damaged_after_its_order_may_have_left_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = three_ticks(tmp_path_factory.mktemp("journal"))
    content, begin = killed(path)
    if data.draw(st.booleans(), label="ended in order"):
        content = path.read_bytes()
    end = len(content.rstrip(b"\0").rstrip(MARK))
    damaged = bytearray(content)
    first = data.draw(st.integers(begin, end - 1))
    last = data.draw(st.integers(first + 1, end))
    how = data.draw(st.sampled_from(["flip", "zero", "lost", "cut out", "garbage"]))
    if how == "flip":
        damaged[first] ^= data.draw(st.integers(1, 255))
    elif how == "zero":
        damaged[first:last] = bytes(last - first)
    elif how == "lost":
        del damaged[first]
    elif how == "cut out":
        del damaged[first:last]
    else:
        damaged[first:last] = data.draw(st.binary(min_size=2, max_size=40)).strip(b"\0") + b"#"
    if (how, first, last) == ("cut out", begin, end):
        return  # a line that is gone as a whole: the broker and the decision log know it
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match=r"damaged at line 4.* may have been sent; restore it"):
        Journal(path)
    assert path.read_bytes() == damaged
    path.write_bytes(content)
    with closing(Journal(path)) as journal:
        assert len(journal.entries) == 4


@settings(max_examples=40)
@given(data=st.data())
def test_journal_without_a_mark_is_refused_where_no_crash_can_have_torn_its_last_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = three_ticks(tmp_path_factory.mktemp("journal"))
    content, begin = killed(path)
    damaged = bytearray(content.rstrip(b"\0").rstrip(MARK))
    at = data.draw(st.integers(begin, len(damaged) - 2))
    damaged[at] = (damaged[at] ^ data.draw(st.integers(1, 127))) or 1
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match="damaged at line 4"):
        Journal(path)


@pytest.mark.parametrize("line", [0, 1, 2])
def test_journal_that_lacks_a_whole_line_before_others_is_refused(path: Path, line: int) -> None:
    killed(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))
    with pytest.raises(StorageError, match=f"damaged at line {line + 1}: it does not follow"):
        Journal(path)


def test_journal_of_a_release_before_is_read_and_its_torn_end_dropped(path: Path) -> None:
    lines = []
    for line in path.read_bytes().rstrip(MARK).splitlines():
        values = json.loads(line[9:])[:-1]  # nothing of what had been flushed, and no mark
        body = json.dumps(values, separators=(",", ":")).encode()
        lines.append(b"%08x %s\n" % (zlib.crc32(body), body))
    for torn in (b"", b"0", lines[0][:50], lines[0][:50] + bytes(30) + b"\n"):
        path.write_bytes(b"".join(lines) + torn)
        with closing(Journal(path)) as journal:
            assert journal.entries == ENTRIES
    path.write_bytes(b"".join(lines[:2]) + lines[2].replace(b"POLICY", b"POLICE"))
    with pytest.raises(StorageError, match="damaged at line 3"):
        Journal(path)


WRITER = """
import sys
from pathlib import Path
from orchestrator.account.journal import Journal
from tests.unit.orchestrator.account.test_journal import entry
journal = Journal(Path(sys.argv[1]))
number = len(journal.entries)
while True:
    journal.append(entry(number, orders=number % 3 != 1))
    print(number, flush=True)
    number += 1
"""


def test_journal_of_a_process_that_is_killed_while_it_writes_has_every_line_it_returned_from(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal"
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = "".join(process.stdout.readline() for _ in range(40))
            process.kill()
            said += process.stdout.read()
        last = int(said.split("\n")[-2])  # what follows it was not said as a whole
        with closing(Journal(path)) as journal:
            assert journal.entries == [
                entry(number, orders=number % 3 != 1) for number in range(len(journal.entries))
            ]
            assert len(journal.entries) > last >= 39


def test_journal_in_use_is_refused_to_another(path: Path) -> None:
    with closing(Journal(path)), pytest.raises(StorageError, match="in use by another process"):
        Journal(path)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Inode and length of whatever was synced, without the room behind it, in its order."""
    seen: list[tuple[int, int]] = []

    def watch(real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(descriptor: int) -> None:
            real(descriptor)
            file = Path(f"/proc/self/fd/{descriptor}")
            length = len(file.read_bytes().rstrip(b"\0").rstrip(MARK)) if file.is_file() else 0
            seen.append((os.fstat(descriptor).st_ino, length))

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
        assert synced[opened:] == [written(path)]
        journal.append(entry(2, orders=False))
        journal.sync()
        assert synced[-1] == written(path)


def test_journal_that_cannot_write_says_so_and_loses_nothing_that_it_had(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def full_disk(descriptor: int, data: bytes, at: int) -> int:
        if at >= full_from:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: full_from - at], at)

    with closing(Journal(path)) as journal:
        full_from = path.stat().st_size + 30
        monkeypatch.setattr(os, "pwrite", full_disk)
        with pytest.raises(StorageError, match="No space left"):
            journal.append(entry(3))
        monkeypatch.setattr(os, "pwrite", real)
    with closing(Journal(path)) as journal:
        assert journal.entries == ENTRIES
