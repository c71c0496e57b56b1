"""Where a bundle comes from: libraries and source revision."""

import subprocess
from importlib import metadata
from pathlib import Path

import tradewind

__all__ = ["git_revision", "library_versions"]

_LIBRARIES = (
    "gymnasium",
    "numba",
    "numpy",
    "sb3-contrib",
    "stable-baselines3",
    "torch",
    "tradewind",
)


def library_versions() -> dict[str, str]:
    """Version of each library that takes part in a training."""
    return {name: metadata.version(name) for name in _LIBRARIES}


def git_revision() -> str | None:
    """The commit that Tradewind runs from, with "+dirty" when tracked files were changed.

    Returns:
        None when Tradewind does not run from a git checkout of its own.
    """
    root = Path(tradewind.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+dirty" if changes else commit


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
