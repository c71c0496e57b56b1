"""Settings of tracking."""

from pathlib import Path

from pydantic import Field

from tradewind.settings import Settings

__all__ = ["TrackingConfig"]


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
