"""Progress and figures of a model that learns."""

import math
from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter

from tradewind.errors import TrainingError
from trainer_service.callbacks.history import finite_numbers
from trainer_service.progress import ProgressReporter

__all__ = ["LatestMetrics", "ProgressCallback"]


class LatestMetrics(KVWriter):
    """Keeps the latest value of everything that Stable-Baselines3 logs.

    Raises:
        TrainingError: From `write`, when a loss is NaN or infinite.
    """

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],  # noqa: ARG002 - the interface of KVWriter
        step: int = 0,
    ) -> None:
        """Takes over what the logger dumps."""
        for name, value in key_values.items():
            if name.startswith("train/") and name.endswith("loss") and not math.isfinite(value):
                raise TrainingError(f"{name} is {value} after {step} timesteps")
        self.update(key_values)

    def update(self, key_values: Mapping[str, Any]) -> None:
        """Takes over the finite numbers; a figure without a value is left out."""
        self.values.update(finite_numbers(key_values))

    def close(self) -> None:
        """Has nothing to close."""


class ProgressCallback(BaseCallback):
    """Reports the steps of `model.learn`.

    Args:
        reporter: Where to.
        metrics: The writer of the model's logger.
    """

    def __init__(self, reporter: ProgressReporter, metrics: LatestMetrics) -> None:
        super().__init__()
        self._reporter = reporter
        self._metrics = metrics

    def get_state(self) -> dict[str, float]:
        """The latest figures."""
        return dict(self._metrics.values)

    def set_state(self, state: Mapping[str, float]) -> None:
        """Shows those figures, and counts steps from those that the model has taken."""
        self._metrics.update(state)
        self._reporter.resume_training(self.model.num_timesteps)

    def _on_step(self) -> bool:
        self._reporter.train_step(self.num_timesteps, self._latest)
        return True

    def _on_training_end(self) -> None:
        self._reporter.end_training(self.num_timesteps, self._latest())

    def _latest(self) -> Mapping[str, float]:
        self._metrics.update(self.logger.name_to_value)
        return dict(self._metrics.values)
