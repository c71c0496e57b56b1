"""How far some work is: a bar on a terminal, one line in a notebook, a line now and then elsewhere.

All of it goes to standard error, and none of it ever ends the work: whoever stops reading misses
the rest.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from tradewind.jobs import TrainingProgress

__all__ = ["QUIET", "TrainingBar", "WorkBar", "progress_console"]

QUIET: Final = "TRADEWIND_QUIET"
"""The environment variable that switches bars and lines of progress off."""

_LINE_EVERY_S: Final = 5.0
_NOTEBOOK_EVERY_S: Final = 0.5
_BAR_FROM_COLUMNS: Final = 60
_CUT: Final = Column(no_wrap=True, overflow="ellipsis")


class _Unbroken:
    """A stream whose reader may go away: what nobody reads is lost, and no reason to stop."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def progress_console() -> Console:
    """Where progress is drawn: standard error, so that standard output stays the result."""
    if sys.stderr is None:
        return Console(quiet=True)
    stream: Any = _Unbroken(sys.stderr)
    # FORCE_COLOR, as in a CI job or a notebook's kernel, makes no terminal of a pipe.
    return Console(file=stream, force_terminal=stream.isatty(), force_jupyter=False)


class WorkBar:
    """Draws how far some work is, inside the block.

    Args:
        console: Where to; where it is no terminal that can draw, a line of `name=value` every few
            seconds, and one at the end.
        doing: What is being done.
        total: How much there is to do; None while unknown.
    """

    def __init__(self, console: Console, doing: str, total: float | None = None) -> None:
        self._console = console
        self._state: dict[str, Any] = {"doing": doing, "done": 0, "total": total, "figures": ""}
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._quiet = console.quiet or os.environ.get(QUIET, "0") not in ("", "0")
        self._bar = _bar(console) if console.is_interactive and not self._quiet else None
        self._thread: threading.Thread | None = None
        if self._bar is not None:
            self._task = self._bar.add_task(doing, total=total, figures="")

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
        new = {"doing": doing, "done": done, "total": total, "figures": figures}
        self._state.update({name: value for name, value in new.items() if value is not None})
        if self._bar is not None:
            shown = self._state
            self._bar.update(
                self._task,
                description=shown["doing"],
                completed=shown["done"],
                total=shown["total"],
                figures=shown["figures"],
            )

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        if self._bar is not None:
            self._bar.start()
        elif not self._quiet:
            notebook = _notebook_line()
            follow = (_LINE_EVERY_S, self._print)
            if notebook is not None:
                follow = (_NOTEBOOK_EVERY_S, lambda: notebook(self._text()))
            self._thread = threading.Thread(
                target=self._follow, args=follow, name="progress", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()
        if self._thread is not None:
            self._thread.join()

    def _follow(self, every_s: float, draw: Callable[[], None]) -> None:
        while not self._ended.wait(every_s):
            draw()
        draw()

    def _text(self) -> str:
        """For people."""
        shown = self._state
        done = min(shown["done"] / shown["total"], 1.0) if shown["total"] else None
        share = "" if done is None else f"{100.0 * done:.0f} %"
        seconds = f"{time.monotonic() - self._started:.0f} s"
        return "  ".join(filter(None, (shown["doing"], share, shown["figures"], seconds)))

    def _print(self) -> None:
        """For programs too."""
        elapsed_s = round(time.monotonic() - self._started, 1)
        fields = {**self._state, "elapsed_s": elapsed_s}
        said = {name: value for name, value in fields.items() if value not in (None, "")}
        line = "progress " + " ".join(f"{name}={_word(value)}" for name, value in said.items())
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def _bar(console: Console) -> Progress:
    doing, percentage = "{task.description}", "{task.percentage:>3.0f} %"
    columns: list[ProgressColumn]
    if console.width < _BAR_FROM_COLUMNS:
        text = f"{doing} {percentage} {{task.fields[figures]}}"
        columns = [TextColumn(text, markup=False, table_column=_CUT)]
    else:
        columns = [
            TextColumn("{task.description:11}", markup=False),
            BarColumn(20),
            TaskProgressColumn(percentage),  # nothing while the total is unknown
            TextColumn("{task.fields[figures]}", markup=False, table_column=_CUT),
            TimeElapsedColumn(Column(min_width=7)),
        ]
    # What the work prints is its own, and goes where it was to go.
    own = sys.stdout is not None and sys.stdout.isatty()
    return Progress(
        *columns, console=console, refresh_per_second=2, redirect_stdout=own, redirect_stderr=own
    )


def _word(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else f"{value:.10g}"


def _notebook_line() -> Callable[[str], None] | None:
    """Draws a line again and again in the output of a notebook's cell; None elsewhere."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display  # type: ignore[import-not-found]

    handle: Any = None

    def draw(line: str) -> None:
        nonlocal handle
        shown = {"text/plain": line}
        if handle is None:
            handle = display(shown, raw=True, display_id=True)
        else:
            handle.update(shown, raw=True)

    return draw


class TrainingBar(WorkBar):
    """Draws how far a training is, inside the block.

    Args:
        console: Where to; see WorkBar.
        doing: What is being done at first.
    """

    def __init__(self, console: Console, doing: str = "preparing") -> None:
        super().__init__(console, doing)

    def update(self, progress: TrainingProgress, title: str = "", note: str = "") -> None:
        """Draws a report of the training; its phase is the title unless there is another."""
        figures = [note] if note else []
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
