"""Files replaced as a whole: a reader sees the old or the new bytes, also after a crash."""

import os
import tempfile
from pathlib import Path

__all__ = ["replace_file", "sync_folder"]


def replace_file(path: Path, data: bytes, *, prefix: str = ".new-") -> None:
    """Writes a file beside the one at `path`, flushes it to disk and renames it.

    Args:
        path: The file; its folder exists.
        data: Its bytes.
        prefix: Of the temporary name.

    Raises:
        OSError: It cannot be written; the file at `path` is as it was.
    """
    with tempfile.NamedTemporaryFile(prefix=prefix, dir=path.parent, delete=False) as temporary:
        written = Path(temporary.name)
        try:
            temporary.write(data)
            temporary.flush()
            os.fsync(temporary.fileno())
            written.chmod(0o644)
            written.replace(path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flushes the names in a folder to disk.

    Raises:
        OSError: It cannot be flushed.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
