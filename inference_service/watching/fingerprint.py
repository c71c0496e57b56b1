"""The state of a version's files, without a look into them."""

import os
from pathlib import Path

from tradewind.errors import StorageError

__all__ = ["Fingerprint", "fingerprint_of"]

Fingerprint = tuple[tuple[str, int, int, int, int], ...]
"""Name, inode, size and times of each file."""


def fingerprint_of(folder: Path) -> Fingerprint:
    """What changes when any file of the folder is written, replaced, added or removed."""
    try:
        with os.scandir(folder) as entries:
            states = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return ()
    except OSError as problem:
        raise StorageError(f"cannot list {folder}: {problem}") from problem
    return tuple(
        sorted((name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in states)
    )
