"""Following what takes its time, and what Ctrl-C does meanwhile."""

import contextlib
import shlex
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import typer
from rich.console import Console

from tradewind.jobs import JobState, TrainingJob
from tradewind.reporting.progress import TrainingBar
from tradewind_cli.output import print_error_lines, print_json

__all__ = ["INTERRUPTED", "follow_job", "interruptible", "said_when_interrupted"]

INTERRUPTED: Final = 130
"""The exit code of what Ctrl-C ended."""


def follow_job(updates: Iterable[TrainingJob], console: Console) -> TrainingJob:
    """Draws a job of the trainer service until its updates end.

    Args:
        updates: What `TrainerClient.watch` gives: the job now, then at every change.
        console: Where to draw.

    Returns:
        The job as it ended.
    """
    with TrainingBar(console, "queued") as bar:
        for job in updates:
            bar.update(job.progress, "queued" if job.state is JobState.QUEUED else "")
    return job


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Takes SIGTERM, and the end of a terminal, for Ctrl-C: what was started is stopped."""
    taken = {
        signal.SIGINT: signal.default_int_handler,  # a shell's background job ignores it
        signal.SIGTERM: lambda *_: signal.raise_signal(signal.SIGINT),
        signal.SIGHUP: lambda *_: signal.raise_signal(signal.SIGINT),
    }
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
        del taken[signal.SIGHUP]
    before = {number: signal.signal(number, handler) for number, handler in taken.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def said_when_interrupted(
    said: Callable[[], str], go_on: Callable[[], Sequence[Sequence[str]]], *, as_json: bool = False
) -> Iterator[None]:
    """Says what Ctrl-C left behind, and the command that goes on with it; the exit code is 130.

    Args:
        said: What became of the work.
        go_on: Commands as words, without `tradewind`; asked for when it is interrupted.
        as_json: Whether one JSON document is to say it.
    """
    try:
        with interruptible():
            yield
    except KeyboardInterrupt as interrupt:
        commands = [shlex.join(["tradewind", *words]) for words in go_on()]
        notes = list(getattr(interrupt, "__notes__", ()))
        if as_json:
            document = {"interrupted": said(), "go_on": commands, "notes": notes}
            with contextlib.suppress(OSError):
                print_json(document)
        else:
            print_error_lines(f"interrupted: {said()}", [*notes, *commands])
        raise typer.Exit(INTERRUPTED) from None
