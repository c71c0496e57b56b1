"""Where a training can be followed: TensorBoard event files and MLflow."""

from trainer_service.tracking.settings import TrackingConfig
from trainer_service.tracking.trackers import Tracker, open_trackers

__all__ = ["Tracker", "TrackingConfig", "open_trackers"]
