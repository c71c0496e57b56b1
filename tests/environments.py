"""Fresh virtual environments that nothing has to be downloaded for: their packages are links."""

import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["make_environment", "packages_of"]


def make_environment(folder: Path, requirements: Iterable[str]) -> Path:
    """Makes an environment with what is named, and what that requires, of this one.

    Args:
        folder: Where it is made.
        requirements: As `Requires-Dist` writes them, or names; extras of others do not count.

    Returns:
        Its interpreter.
    """
    venv.create(folder, symlinks=True)
    packages = packages_of(folder)
    for distribution in _closure(requirements):
        for entry in _top_level_entries(distribution):
            link = packages / entry.name
            if not link.is_symlink():  # a namespace that several share
                link.symlink_to(entry)
    return folder / "bin" / "python"


def packages_of(folder: Path) -> Path:
    """The folder of an environment that packages are installed in."""
    return next(folder.glob("lib/python*/site-packages"))


def _closure(requirements: Iterable[str]) -> set[str]:
    found: set[str] = set()
    pending = [Requirement(text) for text in requirements]
    while pending:
        wanted = pending.pop()
        unused = wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})
        if unused or wanted.name in found:
            continue
        found.add(wanted.name)
        pending += [Requirement(text) for text in metadata.requires(wanted.name) or ()]
    return found


def _top_level_entries(name: str) -> list[Path]:
    distribution = metadata.distribution(name)
    names = {file.parts[0] for file in distribution.files or ()}
    root = Path(str(distribution.locate_file("")))
    return [root / entry for entry in sorted(names - {"..", "__pycache__"})]
