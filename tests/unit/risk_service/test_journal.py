"""The journal: what it holds after any interruption, and who may use it."""

import contextlib
import os
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk_service.audit.chain import GENESIS, AuditRow, Head, extend_chain
from risk_service.audit.journal import Journal
from tradewind.errors import StorageError


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[Callable[..., Journal]]:
    """Opens the journal of the test, which is closed at its end."""
    with contextlib.ExitStack() as stack:

        def open_one(database_id: str = "db") -> Journal:
            journal = Journal(tmp_path / "journal", database_id)
            stack.callback(journal.close)
            return journal

        yield open_one


def recover(path: Path) -> list[AuditRow]:
    """The rows that a file holds."""
    with contextlib.closing(Journal(path, "db")) as journal:
        return journal.recovered


def started(
    journal: Journal, deliver: Callable[[Sequence[AuditRow]], None] = lambda _: None
) -> Journal:
    head = journal.recovered[-1].head if journal.recovered else GENESIS
    journal.start(head, lambda rows, _copies: deliver(rows))
    return journal


def append(journal: Journal, payload: str) -> AuditRow:
    return journal.wait(journal.submit(payload))


def written(tmp_path: Path, payloads: Sequence[str]) -> tuple[Path, list[AuditRow]]:
    """A journal with rows in it, closed."""
    path = tmp_path / "journal"
    journal = started(Journal(path, "db"))
    rows = [append(journal, payload) for payload in payloads]
    journal.close()
    return path, rows


def test_journal_with_rows_recovers_them_when_opened_again(
    tmp_path: Path, open_journal: Callable[..., Journal]
) -> None:
    _, rows = written(tmp_path, ['{"a":1}', '{"b":"x y"}'])
    assert open_journal().recovered == rows == extend_chain(GENESIS, ['{"a":1}', '{"b":"x y"}'])


@given(data=st.data())
def test_journal_cut_off_anywhere_recovers_every_whole_row_before_the_cut(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, rows = written(tmp_path_factory.mktemp("journal"), ["{}", '{"a":"b c"}', "{}"])
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut] + data.draw(st.sampled_from([b"", b"\0" * 50, b"garbage"])))
    lines_left = content[:cut].count(b"\n")
    if cut < content.index(b"\n") + 1 and path.read_bytes().rstrip(b"\0") != content[:cut]:
        with pytest.raises(StorageError, match="does not belong"):
            Journal(path, "db")
        return
    assert recover(path) == rows[: max(lines_left - 1, 0)]


@settings(max_examples=40)  # each flushes a few times
@given(data=st.data())
def test_journal_with_a_flush_of_several_rows_torn_anywhere_loses_all_of_it_and_nothing_else(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    journal = started(Journal(path, "db"))
    answered = [append(journal, "{}"), append(journal, '{"a":1}')]
    begin = journal.size
    entries = [journal.submit(f'{{"n":"{"x" * number}"}}') for number in range(4)]
    flushed = [journal.wait(entry) for entry in entries]
    end = journal.size
    content = bytearray(path.read_bytes())  # as a crash leaves it: the room is still there
    content[end] = 0  # and the mark is not, which comes after the flush
    journal.close()
    page = data.draw(st.integers(8, 200))
    lost = data.draw(st.sets(st.sampled_from(range(begin, end, page))))
    for start in lost:
        stop = min(start + page, end)
        content[start:stop] = bytes(stop - start)
    path.write_bytes(content)
    assert recover(path) == (answered if lost else [*answered, *flushed])


@pytest.mark.parametrize("version", [1, 2])
def test_journal_of_a_version_before_is_read_and_goes_on_as_a_new_one(
    tmp_path: Path, version: int
) -> None:
    path, rows = written(tmp_path, ["{}", '{"a":1}'])
    old = path.read_bytes().replace(b"risk journal 3 of", b"risk journal %d of" % version)
    path.write_bytes(old)
    with contextlib.closing(Journal(path, "db")) as journal:
        assert journal.recovered == rows
        row = append(started(journal), '{"b":2}')
    assert row.follows(rows[-1].head)
    assert path.read_bytes().startswith(b"tradewind risk journal 3 of database db\n3 ")


@given(data=st.data())
def test_journal_with_a_byte_changed_before_whole_rows_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, _ = written(tmp_path_factory.mktemp("journal"), ["{}", '{"a":"b c"}', "{}"])
    content = bytearray(path.read_bytes())
    last_line = content.rindex(b"\n", 0, len(content) - 1) + 1
    at = data.draw(st.integers(content.index(b"\n") + 1, last_line - 2))
    content[at] ^= data.draw(st.integers(1, 127))
    path.write_bytes(content)
    with pytest.raises(StorageError, match="damaged at line"):
        Journal(path, "db")


def killed(folder: Path, payloads: Sequence[str]) -> tuple[Path, bytes, int]:
    """A journal as kill -9 leaves it, and where its last line begins."""
    path = folder / "journal"
    journal = started(Journal(path, "db"))
    begin = 0
    for payload in payloads:
        begin = journal.size
        append(journal, payload)
    content = path.read_bytes()
    journal.close()
    return path, content, begin


@given(data=st.data())
def test_journal_with_its_last_line_damaged_after_it_was_answered_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, content, begin = killed(tmp_path_factory.mktemp("journal"), ["{}", '{"a":"b c"}'])
    end = len(content.rstrip(b"\0")) - 1  # the mark
    damaged = bytearray(content)
    first = data.draw(st.integers(begin, end - 1))
    how = data.draw(st.sampled_from(["flip", "zero", "lost"]))
    if how == "flip":
        damaged[first] ^= data.draw(st.integers(1, 127))
    elif how == "zero":
        last = data.draw(st.integers(first + 1, end))
        damaged[first:last] = bytes(last - first)
    else:
        del damaged[first : first + 1]
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match="damaged at line 3.*were answered"):
        Journal(path, "db")
    path.write_bytes(content)
    assert len(recover(path)) == 2


@given(data=st.data())
def test_journal_of_a_release_without_marks_with_a_byte_of_its_last_line_changed_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, content, begin = killed(tmp_path_factory.mktemp("journal"), ["{}", '{"a":"b c"}'])
    damaged = bytearray(content.rstrip(b"\0")[:-1].replace(b"journal 3 of", b"journal 2 of"))
    at = data.draw(st.integers(begin, len(damaged) - 2))
    changed = damaged[at] ^ data.draw(st.integers(1, 127))
    damaged[at] = changed or 1
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match="damaged at line"):
        Journal(path, "db")


@given(data=st.data())
def test_journal_killed_within_a_write_drops_what_was_being_written_and_nothing_else(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, content, begin = killed(tmp_path_factory.mktemp("journal"), ["{}", '{"a":"b c"}'])
    end = len(content.rstrip(b"\0")) - 2  # before the end of the line: as a whole it would count
    at = data.draw(st.integers(begin, end))
    torn = content[:at] + bytes(len(content) - at)
    # The line takes the place of the mark of the one before.
    path.write_bytes(torn[:at] + (b"\1" if at == begin else b"\0") + torn[at + 1 :])
    assert [row.payload for row in recover(path)] == ["{}"]


def test_journal_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal")
    with pytest.raises(StorageError, match="not a regular file"):
        Journal(tmp_path / "journal", "db")


def test_journal_of_another_database_is_refused(
    tmp_path: Path, open_journal: Callable[..., Journal]
) -> None:
    written(tmp_path, ["{}"])
    with pytest.raises(StorageError, match="does not belong to this database"):
        open_journal("other")


def test_journal_in_use_is_refused_to_a_second_owner(open_journal: Callable[..., Journal]) -> None:
    open_journal()
    with pytest.raises(StorageError, match="in use"):
        open_journal()


def test_journal_in_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        Journal(tmp_path / "missing" / "journal", "db")


def test_append_from_many_threads_delivers_one_chain_in_the_order_of_the_file(
    tmp_path: Path,
) -> None:
    delivered: list[AuditRow] = []
    journal = started(Journal(tmp_path / "journal", "db"), delivered.extend)
    answered: list[AuditRow] = []
    begin = threading.Barrier(8)

    def work(name: int) -> None:
        begin.wait()
        answered.extend(append(journal, f'{{"n":"{name}.{count}"}}') for count in range(25))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert delivered == extend_chain(GENESIS, [row.payload for row in delivered])
    assert sorted(answered, key=lambda row: row.sequence) == delivered
    assert recover(tmp_path / "journal") == delivered


def test_append_with_a_full_disk_fails_and_works_again_once_there_is_room(tmp_path: Path) -> None:
    journal = started(Journal(tmp_path / "journal", "db"))
    first = append(journal, "{}")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.size + 40, limits[1]))
    try:
        with pytest.raises(StorageError, match="cannot be written: File too large"):
            append(journal, '{"lost":true}')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    second = append(journal, '{"kept":true}')
    assert second.follows(first.head)
    journal.close()
    assert recover(tmp_path / "journal") == [first, second]


def test_append_with_a_payload_that_cannot_be_written_fails_and_holds_nobody_up(
    open_journal: Callable[..., Journal],
) -> None:
    journal = started(open_journal())
    first = append(journal, '{"a":1}')
    unwritable, beside = journal.submit('"\ud800"'), journal.submit('{"b":2}')
    with pytest.raises(StorageError, match="cannot be written: UnicodeEncodeError"):
        journal.wait(unwritable)
    with pytest.raises(StorageError, match="cannot be written"):
        journal.wait(beside)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(append, journal, '{"c":3}').result(10).follows(first.head)


def test_append_with_the_journal_closed_is_refused(tmp_path: Path) -> None:
    journal = started(Journal(tmp_path / "journal", "db"))
    waiting = journal.submit("{}")
    journal.close()
    with pytest.raises(StorageError, match="is closed"):
        journal.wait(waiting)
    with pytest.raises(StorageError, match="is closed"):
        journal.submit("{}")


def test_relieve_with_everything_stored_empties_the_file_and_goes_on(
    open_journal: Callable[..., Journal],
) -> None:
    journal = started(open_journal())
    empty = journal.size
    head = append(journal, "{}").head
    journal.relieve(lambda: head)
    assert journal.size == empty
    assert append(journal, "{}").follows(head)


def test_relieve_with_rows_not_stored_keeps_them(open_journal: Callable[..., Journal]) -> None:
    journal = started(open_journal())
    append(journal, "{}")
    size = journal.size
    journal.relieve(lambda: Head(0, "somewhere else"))
    assert journal.size == size


def test_journal_file_with_default_rights_is_readable_by_its_owner_only(
    tmp_path: Path, open_journal: Callable[..., Journal]
) -> None:
    open_journal()
    assert (tmp_path / "journal").stat().st_mode & 0o077 == 0
