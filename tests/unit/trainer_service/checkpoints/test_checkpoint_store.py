"""Checkpoint files: whole or not there, the latest two, damage found before use."""

import os
from pathlib import Path

import numpy as np
import pytest

from tradewind.errors import StorageError
from trainer_service.checkpoints import CheckpointStore
from trainer_service.checkpoints.store import Checkpoint


def make_checkpoint(timesteps: int) -> Checkpoint:
    replay = {"rewards": np.arange(2.0 * timesteps).reshape(-1, 2)}
    return Checkpoint(timesteps, b"weights", {"clock": timesteps}, replay)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds the checkpoints of 10, 20 and 30 timesteps, as far as they are kept."""
    folder = tmp_path / "job"
    for timesteps in (10, 20, 30):
        CheckpointStore(folder).write(make_checkpoint(timesteps))
    return folder


def test_read_latest_gives_what_was_written_last(folder: Path) -> None:
    reader, damages = CheckpointStore(folder).read_latest()

    assert reader is not None
    with reader:
        assert (reader.timesteps, reader.model, reader.state) == (30, b"weights", {"clock": 30})
        ((name, rewards),) = reader.replay()
    assert name == "rewards"
    assert np.array_equal(rewards, make_checkpoint(30).replay["rewards"])
    assert damages == ()
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_read_latest_with_a_damaged_file_gives_the_one_before_and_says_so(
    folder: Path, damage: str
) -> None:
    latest = max(folder.iterdir())
    whole = latest.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    latest.write_bytes({"cut": whole[:-50], "flipped": flipped, "empty": b""}[damage])
    (folder / "checkpoint-000000000000040.tmp").write_bytes(b"unfinished")

    reader, damages = CheckpointStore(folder).read_latest()

    assert reader is not None
    with reader:
        assert reader.timesteps == 20
    (said,) = damages
    assert latest.name in said
    assert [path.name for path in folder.iterdir()] == ["checkpoint-000000000000020.zip"]


def test_read_latest_without_checkpoints_gives_none(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path / "nothing").read_latest() == (None, ())


def test_write_that_fails_leaves_the_earlier_checkpoints_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(path.name for path in folder.iterdir())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StorageError, match="cannot write a checkpoint.*No space left"):
        CheckpointStore(folder).write(make_checkpoint(40))

    assert sorted(path.name for path in folder.iterdir()) == before


def test_remove_takes_the_folder_away(folder: Path) -> None:
    CheckpointStore(folder).remove()

    assert not folder.exists()
