"""TensorBoard event files: `tensorboard --logdir runs/tensorboard`."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from tradewind.bundle import PublishedBundle
from tradewind.errors import StorageError
from trainer_service.tracking.tracker import Outcome, Tracker

__all__ = ["TensorBoardTracker"]


class TensorBoardTracker(Tracker):
    """Writes the event files of one run.

    Args:
        folder: The run's own folder.
        parameters: Configuration of the training; shown as text.
        resumed: The run is one that was begun before.

    Raises:
        StorageError: The folder cannot be written.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any], *, resumed: bool) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=resumed)
            self._writer = SummaryWriter(str(folder))
        except OSError as problem:
            raise StorageError(f"tracking.tensorboard: cannot write {folder}: {problem}") from None
        if not resumed:
            text = f"```\n{json.dumps(parameters, indent=2)}\n```"
            self._writer.add_text("configuration", text)

    def rewind(self, step: int) -> None:
        """Makes TensorBoard drop what was written after this step."""
        self._writer.close()
        # TensorBoard reads files in the order of their names: whole seconds, then a count of which
        # the 10th comes before the 9th.
        time.sleep(1.001 - time.time() % 1)
        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Writes one scalar per figure."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def log_bundle(self, bundle: PublishedBundle) -> None:
        """Writes the held-out figures at the last timestep."""
        figures = {f"evaluation/{name}": it for name, it in bundle.metadata.evaluation.items()}
        self.log_metrics(figures, bundle.metadata.training.timesteps)
        self._writer.add_text("bundle", f"{bundle.metadata.name} {bundle.metadata.version}")

    def close(self, outcome: Outcome) -> None:  # noqa: ARG002
        """Closes the files."""
        self._writer.close()
