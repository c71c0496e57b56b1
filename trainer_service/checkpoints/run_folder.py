"""The folder of a training that whoever started it takes up again himself."""

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tradewind.errors import ConflictError, FieldViolation, NotFoundError, SettingsError
from trainer_service.checkpoints.store import CheckpointStore

__all__ = ["check_own", "new_run_folder", "resumed_run_folder"]

_RECORD: Final = "training.json"
_MAY_CHANGE: Final = ("risk_config.early_stop_threshold", "risk_config.early_stop_patience")
"""What a resumed training may be told otherwise: it changes when it ends, not how it learns."""


@contextlib.contextmanager
def new_run_folder(root: Path, policy: str, record: Mapping[str, Any]) -> Iterator[Path]:
    """A folder for the checkpoints of a new training, this process's alone inside the block.

    Args:
        root: Where it is made.
        policy: Whose training it is.
        record: All that decides what is learnt.

    Raises:
        OSError: It cannot be made.
    """
    folder = root / f"{policy}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    folder.mkdir(mode=0o700, parents=True)
    (folder / _RECORD).write_text(json.dumps(record, indent=1, default=str))
    with _locked(folder):
        yield folder


@contextlib.contextmanager
def resumed_run_folder(folder: Path, record: Mapping[str, Any]) -> Iterator[Path]:
    """The folder of an earlier training, this process's alone inside the block.

    Args:
        folder: What `new_run_folder` gave.
        record: All that decides what is learnt: as it was then, but for when risk stops it.

    Raises:
        NotFoundError: There is no training to go on with.
        ConflictError: It belongs to another user, or another process goes on with it.
        SettingsError: The training is another one.
    """
    try:
        before = json.loads((folder / _RECORD).read_text())
    except (OSError, ValueError) as problem:
        raise NotFoundError(f"{folder} holds no training to go on with: {problem}") from None
    check_own(folder / _RECORD, "a checkpoint")
    now = json.loads(json.dumps(record, default=str))
    violations = [
        FieldViolation(key, f"is {new!r}, but {old!r} in {folder}")
        for key, old, new in _differences(before, now)
        if key not in _MAY_CHANGE
    ]
    if violations:
        raise SettingsError("a training goes on only as it began", violations)
    with _locked(folder):
        if CheckpointStore(folder).latest_timesteps() is None:
            raise NotFoundError(f"{folder} holds no checkpoint")
        yield folder


def check_own(file: Path, what: str) -> None:
    """Refuses a file whose pickles, or those beside it, somebody else may have written.

    Raises:
        ConflictError: It or its folder belongs to another user, it is a link, or others may write
            to its folder.
    """
    folder, found = file.parent.stat(), file.lstat()
    is_own = {folder.st_uid, found.st_uid} <= {0, os.getuid()} and stat.S_ISREG(found.st_mode)
    if not is_own or folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConflictError(
            f"{file.parent} belongs to another user, or others may write to it, or {file.name} in "
            f"it is a link: reading {what} is running code of whoever wrote it"
        )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder / _RECORD, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"another process trains with {folder}") from None
        yield
    finally:
        os.close(handle)


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            inner = f"{key}.{name}" if key else name
            yield from _differences(old.get(name), new.get(name), inner)
    elif old != new:
        yield key, old, new
