"""What every tracker takes, and how those of a training are opened and closed."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from stable_baselines3.common.logger import KVWriter

from tradewind.bundle import PublishedBundle
from trainer_service.callbacks import finite_numbers
from trainer_service.tracking.settings import TrackingConfig
from trainer_service.tracking.tensorboard import TensorBoardTracker

__all__ = ["Outcome", "Tracker", "Trackers", "open_trackers"]

_LOG = logging.getLogger(__name__)

Outcome = Literal["FINISHED", "FAILED", "KILLED"]
"""How a training ended, in MLflow's words."""


class Tracker(Protocol):
    """One place where a training can be followed."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Takes figures by name at a number of timesteps."""

    def log_bundle(self, bundle: PublishedBundle) -> None:
        """Takes the published bundle with its held-out figures."""

    def close(self, outcome: Outcome) -> None:
        """Ends the run."""


class Trackers(KVWriter):
    """The trackers of one training; hands what Stable-Baselines3 logs to each of them.

    A tracker that fails is dropped with a warning: the bundle is what counts, and no training is
    lost because the disk of its curves is full.

    Args:
        trackers: Those that are ready.
    """

    def __init__(self, trackers: list[Tracker]) -> None:
        self._trackers = trackers

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],  # noqa: ARG002 - the interface of KVWriter
        step: int = 0,
    ) -> None:
        """Takes over what the logger dumps."""
        values = finite_numbers(key_values)
        self._each(lambda tracker: tracker.log_metrics(values, step))

    def log_bundle(self, bundle: PublishedBundle) -> None:
        """Hands over the published bundle."""
        self._each(lambda tracker: tracker.log_bundle(bundle))

    def end(self, outcome: Outcome) -> None:
        """Ends the run."""
        self._each(lambda tracker: tracker.close(outcome))

    def close(self) -> None:
        """Leaves the run open: evaluation and export are still to come when a logger closes."""

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for tracker in tuple(self._trackers):
            try:
                do(tracker)
            except Exception as problem:
                self._trackers.remove(tracker)
                name = type(tracker).__name__
                _LOG.warning("%s failed, the training goes on without it: %s", name, problem)


@contextmanager
def open_trackers(
    config: TrackingConfig, policy: str, parameters: Mapping[str, Any]
) -> Iterator[Trackers]:
    """Opens a run in every tracker, and ends it as the block ends.

    Args:
        config: Which trackers.
        policy: Name of the policy.
        parameters: Configuration of the training, nested.

    Raises:
        StorageError: The folder of the event files cannot be written.
        TrainingError: MLflow cannot be used under its URI.
    """
    trackers: list[Tracker] = []
    run = Trackers(trackers)
    outcome: Outcome = "KILLED"
    try:
        trackers.extend(_open_each(config, policy, parameters))
        yield run
        outcome = "FINISHED"
    except Exception:
        outcome = "FAILED"
        raise
    finally:
        run.end(outcome)


def _open_each(
    config: TrackingConfig, policy: str, parameters: Mapping[str, Any]
) -> Iterator[Tracker]:
    """Opens one tracker after the other, so that those that are open can be closed."""
    name = f"{datetime.now(UTC):%Y-%m-%d_%H-%M-%S.%f}"
    if config.tensorboard is not None:
        yield TensorBoardTracker(Path(config.tensorboard, policy, name), parameters)
    if config.mlflow_uri is not None:
        # MLflow would report its use to its makers, beginning with its import.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # It takes seconds, for those alone who use it.
        from trainer_service.tracking.mlflow import MlflowTracker

        yield MlflowTracker(config.mlflow_uri, config.experiment, f"{policy}_{name}", parameters)
