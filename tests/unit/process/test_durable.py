"""Files that are appended to: what is in them, and what is left when the disk is full."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tradewind.process.durable import AppendFile, make_folder, sync_folder

MIB = 1024 * 1024


def opened(path: Path, size: int = 0) -> AppendFile:
    return AppendFile(os.open(path, os.O_RDWR | os.O_CREAT), size)


def limited_to(size: int) -> Callable[[int, bytes, int], int]:
    """An `os.pwrite` of a disk on which the file can have so many bytes."""
    real = os.pwrite

    def write(descriptor: int, data: bytes, at: int) -> int:
        if at >= size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: size - at], at)

    return write


def test_file_that_grows_keeps_room_behind_its_content_and_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"kept, torn")
    with closing(opened(path, 4)) as file:
        assert path.read_bytes() == b"kept"
        file.append(b"+")
        assert path.read_bytes() == b"kept+".ljust(MIB, b"\0")
        file.append(b"x" * MIB)
        assert path.stat().st_size == 2 * MIB
        file.cut_back(5)
        assert path.read_bytes() == b"kept+"
        file.append(b"end")
        file.flush()
        assert file.size == 8
    assert path.read_bytes() == b"kept+end"


def test_file_on_a_disk_without_room_takes_what_fits_and_nothing_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    with closing(opened(path)) as file:
        with monkeypatch.context() as full:
            full.setattr(os, "pwrite", limited_to(10))
            file.append(b"12345")
            with pytest.raises(OSError, match="No space left"):
                file.append(b"too long")
            assert file.size == 5
        file.append(b"678")
    assert path.read_bytes() == b"12345678"


@pytest.fixture
def closed_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("closed_umask")
def test_folder_made_under_a_closed_umask_can_be_entered_by_others(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    private.chmod(0o2700)
    make_folder(private / "a" / "b")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (private, *private.rglob("*"))]
    assert modes[0] == 0o2700  # was there
    assert [mode & 0o777 for mode in modes[1:]] == [0o755, 0o755]
    assert all(mode & stat.S_ISGID for mode in modes)


def test_folder_over_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="File exists"):
        make_folder(tmp_path / "file" / "a")


def failing_with(number: int) -> Callable[[int], None]:
    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    return fsync


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS])
def test_folder_on_a_mount_that_flushes_none_is_said_and_no_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    monkeypatch.setattr(os, "fsync", failing_with(number))
    sync_folder(tmp_path)
    assert "this mount does not flush folders" in caplog.text


def test_folder_on_a_disk_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing_with(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        sync_folder(tmp_path)
