"""Saves a training while it runs, and takes up one that was interrupted."""

import math
import time
from collections.abc import Sequence

from stable_baselines3.common.callbacks import BaseCallback

from trainer_service.checkpoints.provenance import library_versions
from trainer_service.checkpoints.settings import Checkpointing
from trainer_service.checkpoints.state import capture, capture_environment, restore
from trainer_service.checkpoints.store import CheckpointStore

__all__ = ["CheckpointCallback"]

# Writing takes at most this share of the time, whatever interval_s says.
_LARGEST_SHARE = 0.05


class CheckpointCallback(BaseCallback):
    """Saves a training before rollouts, and begins it where its latest checkpoint ended.

    Before a rollout the model has learnt from everything before it, and a rollout buffer is empty:
    all there is to a training is in the checkpoint, and a resumed training goes on as the
    unbroken one would have. It must be the last callback of its training.

    Args:
        checkpointing: Where, how often, and who is told.
        callbacks: The other callbacks; those that are Stateful are saved too.

    Raises:
        StorageError: While learning, when a checkpoint cannot be written.
        TrainingError: While learning, when the environment cannot give its state, or a checkpoint
            is of another configuration.
    """

    def __init__(self, checkpointing: Checkpointing, callbacks: Sequence[BaseCallback]) -> None:
        super().__init__()
        self._checkpointing = checkpointing
        self._store = CheckpointStore(checkpointing.settings.folder)
        self._callbacks = callbacks
        self._last_timesteps = 0
        self._next_time = math.inf

    def _on_training_start(self) -> None:
        checkpoint, damages = self._store.read_latest()
        note = self._checkpointing.on_note
        for damage in damages:
            note(damage)
        # Refused now, and not when the first one is due.
        capture_environment(self.model)
        if checkpoint is not None:
            with checkpoint:
                restore(checkpoint, self.model, self._callbacks)
            self._last_timesteps = checkpoint.timesteps
            note(f"resumed from the checkpoint at timestep {checkpoint.timesteps}")
            if checkpoint.state["libraries"] != library_versions():
                note("that was written under other library versions: results may differ")
        elif damages:
            note("no checkpoint is whole: the training started over")
        self._plan(cost_s=0.0)

    def _on_rollout_start(self) -> None:
        stops = self._checkpointing.stops()
        if self._due() or (stops and self.model.num_timesteps != self._last_timesteps):
            started = time.monotonic()
            self._store.write(capture(self.model, self._callbacks))
            self._last_timesteps = self.model.num_timesteps
            self._plan(cost_s=time.monotonic() - started)
            self._checkpointing.on_written(self._last_timesteps)
        if stops:
            raise KeyboardInterrupt

    def _on_step(self) -> bool:
        return True

    def _due(self) -> bool:
        done = self.model.num_timesteps - self._last_timesteps
        interval = self._checkpointing.settings.interval_timesteps
        if done == 0:
            return False
        return time.monotonic() >= self._next_time or (interval is not None and done >= interval)

    def _plan(self, cost_s: float) -> None:
        interval_s = self._checkpointing.settings.interval_s
        if interval_s is not None:
            self._next_time = time.monotonic() + max(interval_s, cost_s / _LARGEST_SHARE)
