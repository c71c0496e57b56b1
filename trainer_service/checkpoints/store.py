"""Checkpoints of one training as files: written atomically, checked before they are used."""

import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import StorageError
from tradewind.process.durable import sync_folder

__all__ = ["Checkpoint", "CheckpointReader", "CheckpointStore", "DamagedCheckpointError"]

_KEPT: Final = 2
_NAME: Final = re.compile(r"checkpoint-(\d{15})\.zip")
_MODEL, _STATE, _REPLAY = "model.zip", "state.pickle", "replay/"


class DamagedCheckpointError(Exception):
    """A checkpoint file that is not what was written."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training between two rollouts.

    Attributes:
        timesteps: Environment steps taken.
        model: What Stable-Baselines3 saves of a model: weights, optimizers, counters.
        state: Everything else but the replay buffer.
        replay: The filled part of each array of the replay buffer; empty without one.
    """

    timesteps: int
    model: bytes
    state: dict[str, Any]
    replay: Mapping[str, NDArray[Any]]


class CheckpointReader:
    """An open checkpoint whose every byte has been checked.

    Attributes:
        timesteps: Environment steps taken.
        model: What Stable-Baselines3 saved.
        state: Everything else but the replay buffer.

    Raises:
        DamagedCheckpointError: The file is cut short or altered, or of another release.
    """

    def __init__(self, path: Path) -> None:
        self.timesteps = _timesteps(path)
        try:
            self._archive = zipfile.ZipFile(path)
            try:
                bad = self._archive.testzip()
                if bad is not None:
                    raise DamagedCheckpointError(f"{path.name} is damaged: {bad}")
                self.model = self._archive.read(_MODEL)
                # Written by this service into a folder of its own: no more foreign than its code.
                self.state: dict[str, Any] = pickle.loads(self._archive.read(_STATE))  # noqa: S301
            except BaseException:
                self._archive.close()
                raise
        except DamagedCheckpointError:
            raise
        except Exception as problem:  # pickle raises whatever it likes
            raise DamagedCheckpointError(f"{path.name} cannot be read: {problem}") from problem

    def replay(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """The arrays of the replay buffer, one after the other."""
        for name in self._archive.namelist():
            if name.startswith(_REPLAY):
                with self._archive.open(name) as file:
                    yield (
                        name.removeprefix(_REPLAY),
                        np.lib.format.read_array(file, allow_pickle=False),
                    )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()


class CheckpointStore:
    """The checkpoints of one training, in a folder that nobody else writes to.

    A checkpoint is one file under its final name or it is not there. The latest two are kept.

    Args:
        folder: The folder; made by the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint and removes all but the latest two.

        Raises:
            StorageError: The disk is full, or the folder cannot be written.
        """
        target = self._folder / f"checkpoint-{checkpoint.timesteps:015d}.zip"
        temporary = target.with_suffix(".tmp")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    _write_archive(checkpoint, file)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.rename(target)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(self._folder)
            for old in self._files()[_KEPT:]:
                old.unlink(missing_ok=True)
        except OSError as problem:
            raise StorageError(
                f"cannot write a checkpoint to {self._folder}: {problem}"
            ) from problem

    def read_latest(self) -> tuple[CheckpointReader | None, tuple[str, ...]]:
        """Opens the latest checkpoint that is whole, and removes what is not.

        Returns:
            The checkpoint, None when there is none; and why each later one cannot be used.
        """
        for unfinished in self._folder.glob("*.tmp"):
            unfinished.unlink()
        damages: list[str] = []
        for path in self._files():
            try:
                return CheckpointReader(path), tuple(damages)
            except DamagedCheckpointError as problem:
                damages.append(str(problem))
                path.unlink()
        return None, tuple(damages)

    def latest_timesteps(self) -> int | None:
        """Environment steps of the latest checkpoint, whole or not; None where there is none."""
        files = self._files()
        return _timesteps(files[0]) if files else None

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        """Checkpoints, the latest first."""
        if not self._folder.is_dir():
            return []
        found = [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(found, reverse=True)


def _write_archive(checkpoint: Checkpoint, file: Any) -> None:
    # Stored, not deflated: weights hardly shrink, and the checksums are what the format is for.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_MODEL, checkpoint.model)
        archive.writestr(_STATE, pickle.dumps(checkpoint.state, pickle.HIGHEST_PROTOCOL))
        for name, array in checkpoint.replay.items():
            with archive.open(f"{_REPLAY}{name}", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _timesteps(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match.group(1))
