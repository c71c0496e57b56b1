"""Whose checkpoints are read, which means running the code of whoever wrote them."""

import os
from pathlib import Path

import pytest

from tradewind.errors import ConflictError
from trainer_service.checkpoints.run_folder import check_own

STRANGER = 12_345


@pytest.fixture
def record(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    (folder / "training.json").write_text("{}")
    return folder / "training.json"


def test_folder_of_ones_own_is_read(record: Path) -> None:
    check_own(record, "a checkpoint")


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file away")
@pytest.mark.parametrize("given", ["folder", "file"])
def test_folder_or_file_of_somebody_else_is_refused(record: Path, given: str) -> None:
    os.chown(record if given == "file" else record.parent, STRANGER, STRANGER)
    with pytest.raises(ConflictError, match="belongs to another user"):
        check_own(record, "a checkpoint")


def test_link_to_a_file_of_ones_own_is_refused(record: Path, tmp_path: Path) -> None:
    record.rename(tmp_path / "mine.json")
    record.symlink_to(tmp_path / "mine.json")
    with pytest.raises(ConflictError, match="is a link"):
        check_own(record, "a checkpoint")


def test_folder_that_others_may_write_to_is_refused(record: Path) -> None:
    record.parent.chmod(0o777)
    with pytest.raises(ConflictError, match="others may write"):
        check_own(record, "a checkpoint")
