"""Which files of a folder may hold bars."""

import os
from pathlib import Path
from typing import Final

from tradewind.errors import MarketDataError

__all__ = ["bar_files"]

_ENDINGS: Final = (
    *(".parquet", ".pq", ".arrow", ".feather", ".csv", ".tsv", ".txt", ".dbn"),
    *(".gz", ".zip", ".zst", ".bz2", ".xz"),
)


def bar_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The files in a folder and those within it that may hold bars, and what was left alone.

    Links to folders are not followed, hidden files and those that begin with `_` not looked at.

    Raises:
        MarketDataError: There are none, or it cannot be listed.
    """
    files: list[Path] = []
    others: list[str] = []

    def refuse(problem: OSError) -> None:
        raise MarketDataError(f"cannot read {problem.filename}: {problem.strerror}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        at = Path(place)
        others += [f"{name}/ (a link)" for name in folders if (at / name).is_symlink()]
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        for name in sorted(names):
            if name.startswith((".", "_")):
                continue
            is_bars = name.lower().endswith(_ENDINGS)
            files.append(at / name) if is_bars else others.append(name)
    if not files:
        kinds = ", ".join(_ENDINGS)
        raise MarketDataError(f"{folder} holds no files of bars (their names end in {kinds})")
    return files, others
