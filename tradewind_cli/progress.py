"""The bar of a running training."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tradewind.jobs import JobState, TrainingJob, TrainingProgress

__all__ = ["TrainingBar", "follow_job"]


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


class TrainingBar:
    """Draws how far a training is, inside the block.

    Args:
        console: Where to; without a terminal, only the end is printed.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:11}"),
            BarColumn(bar_width=40),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[figures]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("queued", total=None, figures="")

    def update(self, progress: TrainingProgress, title: str = "") -> None:
        """Draws a report of the training; its phase is the title unless there is another."""
        figures = []
        if progress.steps_per_second:
            figures.append(f"{progress.steps_per_second:,.0f} steps/s")
        if "risk/score" in progress.metrics:
            figures.append(f"risk score {progress.metrics['risk/score']:.2f}")
        self._progress.update(
            self._task,
            description=title or progress.phase.value,
            completed=progress.timesteps_done,
            total=progress.timesteps_total or None,
            figures="  ".join(figures),
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()
