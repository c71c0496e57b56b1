"""How the trackers of a training are opened, told and closed."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import KVWriter

from tradewind.bundle import PublishedBundle
from tradewind.errors import ComponentError, FieldViolation
from trainer_service.callbacks import finite_numbers
from trainer_service.tracking.record import RunRecord
from trainer_service.tracking.settings import TrackingConfig
from trainer_service.tracking.tracker import (
    TRACKERS,
    Outcome,
    TrackedRun,
    Tracker,
    TrackerSettings,
)

__all__ = ["Trackers", "open_trackers"]

_LOG = logging.getLogger(__name__)


class Trackers(KVWriter):
    """The trackers of one training; hands what Stable-Baselines3 logs to each of them.

    A tracker that fails is dropped with a warning: the bundle is what counts, and no training is
    lost because the disk of its curves is full.

    Args:
        trackers: Those that are ready.
        resumed: Their run was begun before. The training that goes on says from which step on with
            `set_state`, before it logs anything; else it starts over.
    """

    def __init__(self, trackers: list[Tracker], *, resumed: bool = False) -> None:
        self._trackers = trackers
        self._rewinds = resumed
        self._last_step = 0

    def get_state(self) -> int:
        """The last step that was logged."""
        return self._last_step

    def set_state(self, state: int) -> None:
        """Goes on after that step."""
        self._last_step = state

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],  # noqa: ARG002 - the interface of KVWriter
        step: int = 0,
    ) -> None:
        """Takes over what the logger dumps."""
        if self._rewinds:
            self._rewinds = False
            kept = self._last_step if self._last_step else -1
            self._each(lambda tracker: tracker.rewind(kept))
        self._last_step = step
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
    config: TrackingConfig,
    policy: str,
    parameters: Mapping[str, Any],
    record: Path | None = None,
) -> Iterator[Trackers]:
    """Opens a run in every tracker, and ends it as the block ends.

    Args:
        config: Which trackers.
        policy: Name of the policy.
        parameters: Configuration of the training, nested.
        record: A file that says which run it is. When it is there, the training goes on with that
            run; None begins a new one that nobody can go on with.

    Raises:
        StorageError: The folder of the event files, or the record, cannot be written.
        TrainingError: MLflow cannot be used under its URI.
        ComponentError: A tracker of one's own cannot be opened.
    """
    earlier = None if record is None else RunRecord.read(record)
    name = f"{datetime.now(UTC):%Y-%m-%d_%H-%M-%S.%f}" if earlier is None else earlier.name
    begun = {} if earlier is None else earlier.ids
    trackers: list[Tracker] = []
    ids: dict[str, str] = {}
    run = Trackers(trackers, resumed=earlier is not None)
    outcome: Outcome = "KILLED"
    try:
        for key, settings in config.all():
            about = TrackedRun(policy, name, parameters, earlier is not None, begun.get(key))
            tracker = _opened(f"tracking.{key}", settings, about)
            trackers.append(tracker)
            if tracker.run_id is not None:
                ids[key] = str(tracker.run_id)
        if record is not None and trackers:
            RunRecord(name=name, run_ids=ids).write(record)
        yield run
        outcome = "FINISHED"
    except Exception:
        outcome = "FAILED"
        raise
    finally:
        run.end(outcome)


def _opened(at: str, settings: TrackerSettings, run: TrackedRun) -> Tracker:
    tracker: object = TRACKERS.make(settings.open, at, run)
    if isinstance(tracker, Tracker):
        return tracker
    said = f"open() of {settings.kind} gave {tracker!r:.100}, no {Tracker.__module__}.Tracker"
    raise ComponentError("tracker is refused", [FieldViolation(at, said)])
