"""Where a training can be followed: TensorBoard event files and MLflow."""

from typing import TYPE_CHECKING

from tradewind.lazy import lazy_names
from trainer_service.tracking.settings import TrackingConfig
from trainer_service.tracking.tracker import TrackedRun, Tracker, TrackerSettings

if TYPE_CHECKING:
    from trainer_service.tracking.trackers import open_trackers

__all__ = ["TrackedRun", "Tracker", "TrackerSettings", "TrackingConfig", "open_trackers"]

# What tracks needs torch; what it is told by its settings does not.
__getattr__ = lazy_names(__name__, {"open_trackers": "trackers"})
