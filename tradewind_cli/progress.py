"""The bar of a running training."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from tradewind.api.trainer.v1 import trainer_pb2

__all__ = ["TrainingBar", "follow_job"]


def follow_job(
    updates: "Iterable[trainer_pb2.TrainingJob]", console: Console
) -> "trainer_pb2.TrainingJob":
    """Draws a job of the trainer service until its updates end.

    Args:
        updates: What `TrainerClient.watch` gives: the job now, then at every change.
        console: Where to draw.

    Returns:
        The job as it ended.
    """
    from tradewind.api.trainer.v1 import trainer_pb2

    last = trainer_pb2.TrainingJob()
    with TrainingBar(console) as bar:
        for job in updates:
            bar.update(
                job.progress.phase,
                job.progress.timesteps_done_count,
                job.progress.timesteps_total_count,
                job.progress.steps_per_second,
                job.metrics,
            )
            last = job
    return last


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

    def update(
        self,
        phase: str,
        timesteps_done: int,
        timesteps_total: int,
        steps_per_second: float,
        metrics: Mapping[str, float],
    ) -> None:
        """Draws a report of the training.

        Args:
            phase: What is being done; empty while it waits.
            timesteps_done: Environment steps taken.
            timesteps_total: Environment steps asked for; 0 while unknown.
            steps_per_second: Mean rate; 0 while unknown.
            metrics: Latest figures; the risk score is shown.
        """
        figures = []
        if steps_per_second:
            figures.append(f"{steps_per_second:,.0f} steps/s")
        if "risk/score" in metrics:
            figures.append(f"risk score {metrics['risk/score']:.2f}")
        self._progress.update(
            self._task,
            description=phase or "queued",
            completed=timesteps_done,
            total=timesteps_total or None,
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
