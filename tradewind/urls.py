"""URLs made from paths."""

from pathlib import Path
from urllib.parse import quote

__all__ = ["sqlite_url"]


def sqlite_url(path: Path | str) -> str:
    """The URL of an SQLite database in a file, whatever stands in the path.

    In a URL, `%`, `?` and `#` mean something, and a path may hold each of them.
    """
    return f"sqlite:///{quote(str(path))}"
