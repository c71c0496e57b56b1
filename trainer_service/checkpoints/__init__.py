"""Checkpoints: a training that was killed goes on as if it had not been."""

from trainer_service.checkpoints.callback import CheckpointCallback
from trainer_service.checkpoints.settings import Checkpointing, CheckpointSettings
from trainer_service.checkpoints.store import CheckpointStore

__all__ = ["CheckpointCallback", "CheckpointSettings", "CheckpointStore", "Checkpointing"]
