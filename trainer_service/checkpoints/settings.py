"""Where and how often a training is saved."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from tradewind.settings import Settings

__all__ = ["CheckpointSettings", "Checkpointing"]


class CheckpointSettings(Settings):
    """Where and how often a training is saved."""

    folder: Path = Path("runs/checkpoints")
    """Folder of the checkpoints."""

    interval_s: PositiveFloat | None = 60.0
    """Seconds between two checkpoints; longer where writing one takes so long that it would cost
    more than 5 % of the time. None leaves it to the timesteps."""

    interval_timesteps: PositiveInt | None = None
    """Environment steps between two checkpoints; None leaves it to the time."""

    @model_validator(mode="after")
    def _check_interval(self) -> Self:
        if self.interval_s is None and self.interval_timesteps is None:
            raise ValueError("interval_s or interval_timesteps must be set")
        return self


@dataclass(frozen=True)
class Checkpointing:
    """The checkpoints of one training, and who is told of them.

    Attributes:
        settings: Where and how often; nobody else may use the folder.
        on_written: Called with the timesteps of every checkpoint once it is on the disk.
        on_note: Called with what people should know about a resumed training.
        stops: Asked before every rollout: once it says so, the training is saved and ends by
            KeyboardInterrupt.
    """

    settings: CheckpointSettings
    on_written: Callable[[int], None] = lambda _: None
    on_note: Callable[[str], None] = lambda _: None
    stops: Callable[[], bool] = lambda: False
