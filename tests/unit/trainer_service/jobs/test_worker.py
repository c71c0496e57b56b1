"""What the process of a job reports, and what it leaves to the service to say."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer_service.checkpoints import CheckpointSettings
from trainer_service.jobs import worker
from trainer_service.jobs.messages import JobOrder
from trainer_service.training.agent import TrainerAgent

CONFIG = {
    "policy": "btc",
    "store": "bundles",
    "algorithm": "PPO",
    "training_params": {"total_timesteps": 2048},
}


class EndedWhileItIsWritten(io.BytesIO):
    """A file, in the second write of which the process is told to end."""

    write_count = 0

    def write(self, data: Any) -> int:
        self.write_count += 1
        if self.write_count == 2:
            raise SystemExit(143)
        return super().write(data)


@pytest.fixture
def order(tmp_path: Path) -> JobOrder:
    checkpoints = CheckpointSettings(folder=tmp_path)
    return JobOrder(config=CONFIG, checkpoints=checkpoints, elapsed_s=0.0, job_id="a")


def train(order: JobOrder) -> tuple[int, str]:
    file = io.BytesIO()
    code = worker._train(order, worker._Events(file), None)
    return code, file.getvalue().decode()


def test_worker_that_is_told_to_end_while_torch_saves_ends_and_reports_no_failure(
    order: JobOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*_: object, **__: object) -> None:
        torch.save({"weights": torch.ones(8)}, EndedWhileItIsWritten())

    with pytest.raises(RuntimeError, match="unexpected pos"):  # what torch makes of it
        save()
    monkeypatch.setattr(TrainerAgent, "train", save)
    with pytest.raises(SystemExit, match="143"):
        train(order)


def test_worker_whose_training_fails_reports_why(
    order: JobOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(TrainerAgent, "train", fail)
    code, reported = train(order)
    assert code == 1
    assert "ValueError: no such thing" in reported
