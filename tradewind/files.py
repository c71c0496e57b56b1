"""Files that somebody else may write: read as a whole within bounds, or refused; never waited for.

On a shared volume a name may stand for anything: a named pipe that nobody writes to, a link to a
device without an end, a file of gigabytes, one that is being written. A reader that trusts the name
hangs, or takes a part for the whole.
"""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["MAX_FILE_BYTES", "FileStamp", "check_file", "file_stamp", "read_file"]

MAX_FILE_BYTES: Final = 1024 * 1024
"""Most bytes of a file that people write by hand: settings, policies, keys."""

# O_NONBLOCK: to open a named pipe would wait for its writer, and some files of /proc and /sys for
# news. O_NOCTTY: a terminal must not become the process's own.
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PIECE_BYTES: Final = 1024 * 1024
_ATTEMPTS: Final = 3
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class FileStamp(NamedTuple):
    """What changes with a file's content, whatever its writer does to hide it.

    The time of modification is the writer's to choose, the time of change (ctime) is not. Links are
    followed, so one that is turned to another file changes it, too.
    """

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileStamp":
        """The stamp of a file that was looked at."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


def file_stamp(path: Path | str) -> FileStamp | None:
    """The stamp of the file at `path`; None while it cannot be looked at."""
    try:
        return FileStamp.of(Path(path).stat())
    except (OSError, ValueError):
        return None


def read_file(
    path: Path | str,
    limit: int = MAX_FILE_BYTES,
    *,
    within: Path | str | None = None,
    private: bool = False,
    unforgeable: bool = False,
) -> bytes:
    """Reads a regular file as a whole, without ever waiting for anybody.

    Links are followed, as those of a Kubernetes ConfigMap have to be. A file that changes while it
    is read is read again.

    Args:
        path: The file.
        limit: Most bytes accepted; a larger file is refused before it is read.
        within: Folder that the file must lie in once links are followed, for files on a volume
            that others write to; None follows them anywhere.
        private: Refuses a file that anybody but its owner and its group may read, or that anybody
            but its owner may write: for keys and tokens.
        unforgeable: Refuses a file that everybody may write: for who may do what.

    Raises:
        OSError: It cannot be read, is no regular file, is too large, leads out of the folder, is
            open to others, or does not stop changing; `strerror` says which.
    """
    for _ in range(_ATTEMPTS):
        handle = _open(Path(path), within)
        try:
            status = os.fstat(handle)
            _check_regular(status)
            _check_rights(status, private=private, unforgeable=unforgeable)
            data = _read(handle, status.st_size, limit)
            if FileStamp.of(os.fstat(handle)) == FileStamp.of(status) and (
                len(data) == status.st_size
            ):
                return data
        finally:
            os.close(handle)
    raise OSError(errno.EAGAIN, "changes while it is read")


def check_file(path: Path | str, *, within: Path | str | None = None) -> None:
    """Refuses what `read_file` would not begin to read, for files that a library reads.

    Raises:
        OSError: It cannot be opened, is no regular file or leads out of the folder.
    """
    handle = _open(Path(path), within)
    try:
        _check_regular(os.fstat(handle))
    finally:
        os.close(handle)


def _open(path: Path, within: Path | str | None) -> int:
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "a name cannot hold a NUL")
    if within is None:
        return os.open(path, _FLAGS)
    folder = os.path.realpath(within)
    for attempt in range(_ATTEMPTS):
        real = os.path.realpath(path)
        if os.path.commonpath([folder, real]) != folder:
            raise OSError(errno.ELOOP, f"is a link that leads out of {within}")
        try:
            return _open_below(folder, Path(os.path.relpath(real, folder)).parts)
        except OSError:
            # A ConfigMap turns its link to another folder and removes the old one meanwhile.
            if attempt == _ATTEMPTS - 1 or os.path.realpath(path) == real:
                raise
    raise AssertionError("unreachable")


def _open_below(folder: str, parts: Sequence[str]) -> int:
    """Opens step by step, so that no folder on the way can become a link meanwhile."""
    *folders, name = parts
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for step in folders:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below = os.open(step, flags, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(status.st_mode)), "something else")
        raise OSError(errno.EINVAL, f"is {kind}, not a regular file")


def _check_rights(status: os.stat_result, *, private: bool, unforgeable: bool) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if private and mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise OSError(
            errno.EACCES,
            f"is open to others (mode {mode:04o}): a secret must be readable by its owner, at most "
            "by its group too, and writable by its owner alone; chmod 600",
        )
    if unforgeable and mode & stat.S_IWOTH:
        raise OSError(errno.EACCES, f"may be written by everybody (mode {mode:04o}); chmod o-w")


def _read(handle: int, size: int, limit: int) -> bytes:
    data = bytearray()
    if size <= limit:
        # One byte more than allowed: a file that grows while it is read is found, too.
        while piece := os.read(handle, min(_PIECE_BYTES, limit + 1 - len(data))):
            data += piece
    if max(size, len(data)) > limit:
        raise OSError(errno.EFBIG, f"has {max(size, len(data))} bytes; {limit} are allowed")
    return bytes(data)
