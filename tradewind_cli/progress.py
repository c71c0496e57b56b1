"""The bar of something that takes its time, such as a running training."""

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from tradewind.jobs import JobState, TrainingJob, TrainingProgress

__all__ = ["TrainingBar", "WorkBar", "follow_job"]

_LINE_EVERY_S: Final = 5.0


def follow_job(updates: Iterable[TrainingJob], console: Console) -> TrainingJob:
    """Draws a job of the trainer service until its updates end.

    Args:
        updates: What `TrainerClient.watch` gives: the job now, then at every change.
        console: Where to draw.

    Returns:
        The job as it ended.
    """
    with TrainingBar(console) as bar:
        for job in updates:
            bar.update(job.progress, "queued" if job.state is JobState.QUEUED else "")
    return job


class WorkBar:
    """Draws how far some work is, inside the block.

    Args:
        console: Where to. Without a terminal, as in the log of a CI job, it is a line every few
            seconds, and one at the end.
        doing: What is being done.
        total: How much there is to do; None while unknown.
    """

    def __init__(self, console: Console, doing: str, total: float | None = None) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:11}"),
            BarColumn(),
            TaskProgressColumn("{task.percentage:>3.0f} %"),  # nothing while the total is unknown
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(Column(min_width=7)),
            console=console,
            refresh_per_second=5,
        )
        self._task = self._progress.add_task(doing, total=total, figures="")
        self._ended = threading.Event()
        self._lines = threading.Thread(target=self._print_lines, name="progress", daemon=True)

    def show(
        self,
        *,
        doing: str | None = None,
        done: float | None = None,
        total: float | None = None,
        figures: str | None = None,
    ) -> None:
        """Draws what has changed.

        Args:
            doing: What is being done now.
            done: How much of it is done.
            total: How much there is to do.
            figures: What else there is to say.
        """
        self._progress.update(self._task, description=doing, completed=done, total=total)
        if figures is not None:
            self._progress.update(self._task, figures=figures)

    def __enter__(self) -> Self:
        self._progress.start()
        if not self._console.is_interactive:
            self._lines.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._progress.stop()

    def _print_lines(self) -> None:
        while not self._ended.wait(_LINE_EVERY_S):
            self._console.print(self._progress.get_renderable())


class TrainingBar(WorkBar):
    """Draws how far a training is, inside the block.

    Args:
        console: Where to; see WorkBar.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console, "queued")

    def update(self, progress: TrainingProgress, title: str = "") -> None:
        """Draws a report of the training; its phase is the title unless there is another."""
        figures = []
        if progress.steps_per_second:
            figures.append(f"{progress.steps_per_second:,.0f} steps/s")
        if "risk/score" in progress.metrics:
            figures.append(f"risk score {progress.metrics['risk/score']:.2f}")
        self.show(
            doing=title or progress.phase.value,
            done=progress.timesteps_done,
            total=progress.timesteps_total or None,
            figures="  ".join(figures),
        )
