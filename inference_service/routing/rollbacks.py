"""Variants that were taken out: kept on disk, shared by all workers, ended by a person alone."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from inference_service.routing.file import MAX_ROUTING_BYTES
from tradewind.errors import NotFoundError, StorageError
from tradewind.files import read_file
from tradewind.process.durable import replace_file
from tradewind.serving import Rollback
from tradewind.settings import Settings

__all__ = ["Reinstatement", "RollbackState", "RollbackStore"]

_FILE: Final = "rollbacks.json"
_LOCK: Final = "rollbacks.lock"
_ACCEPTED: Final = "accepted.yaml"
_MAX_STATE_BYTES: Final = 16 * 1024 * 1024
_LOCK_S: Final = 5.0
_LOCK_PAUSE_S: Final = 0.01
_KEPT_REINSTATEMENTS: Final = 1_000


class Reinstatement(Settings):
    """A rollback that a person ended: who, why, and when in seconds since the epoch."""

    rollback: Rollback
    """What was ended."""

    name: str
    """Who ended it."""

    reason: str
    """Why."""

    reinstated_at: float
    """Seconds since the epoch."""


class RollbackState(Settings):
    """What is taken out now, and the latest that no longer is, oldest first."""

    format_version: Literal[1] = 1
    """Version of the file's format."""

    rollbacks: tuple[Rollback, ...] = ()
    """What is taken out."""

    reinstatements: tuple[Reinstatement, ...] = ()
    """What was taken out and no longer is."""

    def find(self, policy: str, variant: str) -> Rollback | None:
        """The rollback of a variant; None when it is not taken out."""
        for rollback in self.rollbacks:
            if (rollback.policy, rollback.variant) == (policy, variant):
                return rollback
        return None

    def reinstated_at(self, policy: str, variant: str) -> float:
        """When a variant was last reinstated; 0 when it never was."""
        times = (
            item.reinstated_at
            for item in self.reinstatements
            if (item.rollback.policy, item.rollback.variant) == (policy, variant)
        )
        return max(times, default=0.0)

    def with_rollback(self, rollback: Rollback) -> "RollbackState":
        """With one more, unless that variant is taken out already: the first cause stands."""
        if self.find(rollback.policy, rollback.variant) is not None:
            return self
        return self.model_copy(update={"rollbacks": (*self.rollbacks, rollback)})


class RollbackStore:
    """The folder with the rollbacks and the routing file that was accepted last.

    Several processes, on several machines, may use it at once: they take turns to write by a lock
    on a file, and replace what they write as a whole.

    Args:
        folder: The folder; made by the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> RollbackState:
        """What is taken out; nothing when nothing ever was.

        Raises:
            StorageError: The file cannot be read, or is not what was written.
        """
        path = self.folder / _FILE
        try:
            return RollbackState.model_validate_json(self._read(path, _MAX_STATE_BYTES))
        except FileNotFoundError:
            return RollbackState()
        except (OSError, ValidationError) as problem:
            raise StorageError(f"rollbacks cannot be read from {path}: {problem}") from problem

    def add(self, rollback: Rollback) -> RollbackState:
        """Takes a variant out.

        Returns:
            What is taken out then; an earlier rollback of the variant stands as it is.

        Raises:
            StorageError: It cannot be kept.
        """
        with self._writing():
            state = self.read()
            changed = state.with_rollback(rollback)
            if changed is not state:
                self._write(_FILE, changed.model_dump_json(indent=2).encode())
            return changed

    def end(
        self, policy: str, variant: str, *, name: str, reason: str, now: float
    ) -> tuple[Rollback, RollbackState]:
        """Ends a rollback.

        Returns:
            The rollback, and what is taken out then.

        Raises:
            NotFoundError: The variant is not taken out.
            StorageError: It cannot be kept.
        """
        with self._writing():
            state = self.read()
            rollback = state.find(policy, variant)
            if rollback is None:
                raise NotFoundError(f"variant {variant!r} of policy {policy!r} is not rolled back")
            ended = Reinstatement(rollback=rollback, name=name, reason=reason, reinstated_at=now)
            changed = state.model_copy(
                update={
                    "rollbacks": tuple(one for one in state.rollbacks if one is not rollback),
                    "reinstatements": (*state.reinstatements, ended)[-_KEPT_REINSTATEMENTS:],
                }
            )
            self._write(_FILE, changed.model_dump_json(indent=2).encode())
            return rollback, changed

    def accepted(self) -> bytes | None:
        """The routing file that was accepted last; None when there was none.

        Raises:
            StorageError: It cannot be read.
        """
        path = self.folder / _ACCEPTED
        try:
            return self._read(path, MAX_ROUTING_BYTES)
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise StorageError(f"cannot read {path}: {problem}") from problem

    def keep_accepted(self, text: bytes) -> None:
        """Keeps a routing file that is in force, for a start at which the file is not good.

        Raises:
            StorageError: It cannot be kept.
        """
        with self._writing():
            self._write(_ACCEPTED, text)

    def _read(self, path: Path, limit: int) -> bytes:
        return read_file(path, limit, within=self.folder)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            handle = os.open(self.folder / _LOCK, flags, 0o644)
        except OSError as problem:
            raise StorageError(f"cannot write to {self.folder}: {problem}") from problem
        try:
            self._lock(handle)
            yield
        finally:
            os.close(handle)

    def _lock(self, handle: int) -> None:
        # Whoever can open the file can hold its lock for ever; nobody waits for that.
        deadline = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StorageError(
                        f"{self.folder / _LOCK} has been locked by another process for "
                        f"{_LOCK_S:g} s"
                    ) from None
                time.sleep(_LOCK_PAUSE_S)

    def _write(self, name: str, data: bytes) -> None:
        try:
            replace_file(self.folder / name, data)
        except OSError as problem:
            raise StorageError(f"cannot write to {self.folder}: {problem}") from problem
