"""Settings of tracking."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tradewind.errors import TrainingError
from tradewind.extras import missing_extra
from tradewind.parts import Named
from tradewind.settings import Settings
from trainer_service.tracking.tracker import TRACKERS, TrackedRun, Tracker, TrackerSettings

__all__ = ["MlflowSettings", "TensorBoardSettings", "TrackingConfig"]


class TensorBoardSettings(TrackerSettings):
    """TensorBoard event files."""

    folder: Path
    """Each training writes to <policy>/<time> below it."""

    def open(self, run: TrackedRun) -> Tracker:
        """Makes the folder."""
        from trainer_service.tracking.tensorboard import TensorBoardTracker  # needs torch

        folder = self.folder / run.policy / run.name
        return TensorBoardTracker(folder, run.parameters, resumed=run.resumed)


class MlflowSettings(TrackerSettings):
    """An MLflow tracking server or database."""

    uri: str = Field(min_length=1)
    """Such as http://127.0.0.1:5000 or sqlite:///mlflow.db."""

    experiment: str = Field(default="tradewind", min_length=1)
    """Made when there is none of that name."""

    def open(self, run: TrackedRun) -> Tracker:
        """Connects.

        Raises:
            TrainingError: MLflow is not installed, or cannot be used under the URI.
        """
        # MLflow would report its use to its makers, beginning with its import.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # It takes seconds, for those alone who use it.
        try:
            from trainer_service.tracking.mlflow import MlflowTracker
        except ModuleNotFoundError as missing:
            raise TrainingError(f"tracking.mlflow_uri: {missing_extra(missing)}") from missing

        name = f"{run.policy}_{run.name}"
        return MlflowTracker(self.uri, self.experiment, name, run.parameters, run.run_id)


class TrackingConfig(Settings):
    """Where a training can be followed. Nothing of it reaches the bundle."""

    tensorboard: Path | None = Path("runs/tensorboard")
    """Folder of TensorBoard event files; each training writes to <policy>/<time> below it. None
    writes none."""

    mlflow_uri: str | None = Field(default=None, min_length=1)
    """MLflow tracking server or database, such as http://127.0.0.1:5000 or sqlite:///mlflow.db.
    None uses no MLflow."""

    experiment: str = Field(default="tradewind", min_length=1)
    """MLflow experiment; made when there is none of that name."""

    trackers: tuple[Annotated[TrackerSettings, Named(TrackerSettings, TRACKERS)], ...] = ()
    """More of them, each `{kind: NAME, options: {...}}`: of one's own, or one of these."""

    def all(self) -> Iterator[tuple[str, TrackerSettings]]:
        """Every tracker, with the key that it is set under."""
        if self.tensorboard is not None:
            yield "tensorboard", TensorBoardSettings(folder=self.tensorboard)
        if self.mlflow_uri is not None:
            yield "mlflow", MlflowSettings(uri=self.mlflow_uri, experiment=self.experiment)
        for place, tracker in enumerate(self.trackers):
            yield f"trackers[{place}]", tracker
