"""How far a training is: reports while it runs."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tradewind.jobs import TrainingPhase, TrainingProgress

__all__ = ["ProgressListener", "ProgressReporter", "shown"]


ProgressListener = Callable[[TrainingProgress], None]

_REPORT_INTERVAL_S = 0.2


@contextmanager
def shown(listener: ProgressListener | bool) -> Iterator[ProgressListener]:
    """A listener for the time of a block.

    Args:
        listener: One's own; or True for one that draws on standard error (a bar on a terminal, a
            line in a notebook, a line of `name=value` now and then elsewhere); or False for none.
    """
    if listener is True:
        # What a job or a service never needs.
        from tradewind.reporting.progress import TrainingBar, progress_console

        with TrainingBar(progress_console()) as bar:
            yield bar.update
    else:
        yield listener or (lambda _: None)


class ProgressReporter:
    """Turns what a run does into reports, at most five a second while it trains.

    Args:
        listener: Called with every report, on the thread that trains.
        timesteps_total: Environment steps asked for.
        elapsed_s: Seconds that earlier attempts at the same run took.
    """

    def __init__(
        self, listener: ProgressListener, timesteps_total: int, *, elapsed_s: float = 0.0
    ) -> None:
        self._listener = listener
        self._started = time.monotonic() - elapsed_s
        self._training_started = self._started
        self._resumed_timesteps = 0
        self._last_report = -math.inf
        self._progress = TrainingProgress(timesteps_total=timesteps_total)

    def enter(self, phase: TrainingPhase) -> None:
        """Reports that a phase begins."""
        if phase is TrainingPhase.TRAINING:
            self._training_started = time.monotonic()
        self._report(phase=phase)

    def resume_training(self, timesteps_done: int) -> None:
        """Takes note that training goes on from a checkpoint; its steps were not taken here."""
        self._resumed_timesteps = timesteps_done

    def train_step(self, timesteps_done: int, metrics: Callable[[], Mapping[str, float]]) -> None:
        """Reports a step of training, unless the last report is too recent.

        Args:
            timesteps_done: Environment steps taken so far.
            metrics: Gives the latest figures; called only for a report.
        """
        now = time.monotonic()
        if now - self._last_report < _REPORT_INTERVAL_S:
            return
        self._report(
            timesteps_done=timesteps_done,
            steps_per_second=(timesteps_done - self._resumed_timesteps)
            / (now - self._training_started),
            metrics=dict(metrics()),
        )

    def end_training(self, timesteps_done: int, metrics: Mapping[str, float]) -> None:
        """Reports the last step of training."""
        self._last_report = -math.inf
        self.train_step(timesteps_done, lambda: metrics)

    def _report(self, **changes: Any) -> None:
        now = time.monotonic()
        self._last_report = now
        changes["elapsed_s"] = now - self._started
        self._progress = replace(self._progress, **changes)
        self._listener(self._progress)
