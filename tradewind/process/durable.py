"""Files that survive a crash of the machine: replaced as a whole, or appended to and flushed."""

import contextlib
import errno
import logging
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

__all__ = [
    "FLUSHED_MARK",
    "AppendFile",
    "make_folder",
    "open_to_readers",
    "replace_file",
    "sync_folder",
    "was_flushed",
]

FLUSHED_MARK: Final = b"\x01"
"""Stands behind the content of an AppendFile when all of it had been flushed; see `mark`."""

_LOG = logging.getLogger(__name__)
_NOT_SUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTTY, errno.EOPNOTSUPP})
_ROOM_BYTES: Final = 1024 * 1024


class AppendFile:
    """A file that is appended to and flushed often, with room kept behind what is in it.

    A flush of a file that has grown also commits its new length, in the file system's own journal
    and together with whatever else is in that. So the file grows in steps, by zeros; what is
    appended then takes their place, and a flush writes nothing else. Until `close` a reader finds
    zeros behind the content. After a crash of the machine, any of the pages that were not flushed
    yet may be zeros, too, whatever stands behind them.

    Args:
        descriptor: Open for reading and writing, without O_APPEND; closed with this.
        size: Where the content ends; what is behind it is cut off.

    Attributes:
        size: Bytes of content.

    Raises:
        OSError: It cannot be cut off.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._is_marked = False
        self.size = self._room_end = size
        self.cut_back(size)

    def append(self, data: bytes) -> None:
        """Writes at the end; `flush` makes it survive a crash of the machine.

        Raises:
            OSError: It could not be written as a whole; parts of it may stand behind the content.
        """
        self._is_marked = False
        end = self.size + len(data)
        if end > self._room_end:
            self._write_with_room(data, end + _ROOM_BYTES - end % _ROOM_BYTES)
        else:
            self._write(data)
        self.size = end

    def flush(self) -> None:
        """Returns when the disk has everything.

        Raises:
            OSError: The disk failed.
        """
        os.fdatasync(self._descriptor)

    def mark(self) -> None:
        """Says behind the content that all of it has been flushed, until the next `append`.

        The mark is not flushed: it outlives the process, which is killed more often than the
        machine, and a machine that crashes tears nothing that was flushed. Where it cannot be
        written it is left out. Nobody may append meanwhile.
        """
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, FLUSHED_MARK, self.size)
            self._is_marked = True

    def cut_back(self, size: int) -> None:
        """Removes what is behind the first `size` bytes, and the room; durable when it returns.

        Raises:
            OSError: The disk failed.
        """
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)
        self._is_marked = False
        self.size = self._room_end = size

    def close(self) -> None:
        """Gives the room back, as far as the disk lets it, and lets go of the file."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self.size + self._is_marked * len(FLUSHED_MARK))
        os.close(self._descriptor)

    def _write_with_room(self, data: bytes, room_end: int) -> None:
        try:
            self._write(data + bytes(room_end - self.size - len(data)))
        except OSError:  # no room for more, but perhaps for this
            self._write(data)
        else:
            self._room_end = room_end

    def _write(self, data: bytes) -> None:
        view, at = memoryview(data), self.size
        while view:
            written = os.pwrite(self._descriptor, view, at)
            view, at = view[written:], at + written


def was_flushed(rest: bytes) -> bool:
    """Whether the end of an AppendFile of lines, from one on that is not whole, had been flushed.

    A line that a crash tore lacks its end, or pages within, which are zeros; and no mark stands
    behind it. One without any of that was whole once, and has been damaged since.

    Args:
        rest: What is in the file from that line on, without the room.
    """
    line, end, _ = rest.partition(b"\n")
    return rest.endswith(FLUSHED_MARK) or (bool(end) and b"\0" not in line)


def replace_file(path: Path, data: bytes, *, prefix: str = ".new-", mode: int = 0o644) -> None:
    """Writes a file beside the one at `path`, flushes it to disk and renames it.

    Args:
        path: The file; its folder exists.
        data: Its bytes.
        prefix: Of the temporary name.
        mode: Rights of the file.

    Raises:
        OSError: It cannot be written; the file at `path` is as it was.
    """
    with tempfile.NamedTemporaryFile(prefix=prefix, dir=path.parent, delete=False) as temporary:
        written = Path(temporary.name)
        try:
            temporary.write(data)
            temporary.flush()
            os.fsync(temporary.fileno())
            written.chmod(mode)
            written.replace(path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a crash of the machine.

    A mount that cannot do that (some of FUSE, SMB and 9p refuse it) is said so, and is no error:
    what was written is there, as durable as that mount makes it.

    Raises:
        OSError: The disk failed.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as problem:
        if problem.errno not in _NOT_SUPPORTED:
            raise
        _LOG.warning("%s: this mount does not flush folders (%s)", folder, problem.strerror)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it that are missing, which every user may enter and list.

    Whatever the umask: for what other users' processes have to read. Those that are there
    already stay as they are.

    Raises:
        OSError: It cannot be made.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:  # another process was first
        if not folder.is_dir():
            raise
        return
    open_to_readers(folder)
    sync_folder(folder.parent)


def open_to_readers(folder: Path) -> None:
    """Lets every user enter and list a folder; who may write to it stays, and the set-group bit."""
    folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o755)
