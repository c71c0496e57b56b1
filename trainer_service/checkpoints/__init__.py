"""Checkpoints: a training that was killed goes on as if it had not been."""

from typing import TYPE_CHECKING

from tradewind.lazy import lazy_names
from trainer_service.checkpoints.settings import Checkpointing, CheckpointSettings
from trainer_service.checkpoints.store import CheckpointStore

if TYPE_CHECKING:
    from trainer_service.checkpoints.callback import CheckpointCallback

__all__ = ["CheckpointCallback", "CheckpointSettings", "CheckpointStore", "Checkpointing"]

# The callback needs torch; what keeps house with the files does not.
__getattr__ = lazy_names(__name__, {"CheckpointCallback": "callback"})
