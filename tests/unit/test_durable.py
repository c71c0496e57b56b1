"""Files that are appended to: what is in them, and what is left when the disk is full."""

import errno
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tradewind.durable import AppendFile

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
