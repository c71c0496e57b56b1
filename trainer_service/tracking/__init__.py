"""Where a training can be followed: TensorBoard event files and MLflow."""

from typing import TYPE_CHECKING

from tradewind.lazy import lazy_names
from trainer_service.tracking.settings import TrackingConfig

if TYPE_CHECKING:
    from trainer_service.tracking.trackers import Tracker, open_trackers

__all__ = ["Tracker", "TrackingConfig", "open_trackers"]

# What tracks needs torch; what it is told by its settings does not.
__getattr__ = lazy_names(__name__, {"Tracker": "trackers", "open_trackers": "trackers"})
