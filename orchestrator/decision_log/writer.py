"""Writes the decision log: gathered between ticks, written on a thread of its own."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
from pydantic import Field

from orchestrator.decision_log.schema import LOG_FORMAT_VERSION, TICK_SCHEMA, to_batch
from orchestrator.decision_log.segments import OpenSegment, recover
from orchestrator.records import TickRecord
from tradewind.errors import StorageError
from tradewind.settings import Settings

__all__ = ["DecisionLogSettings", "DecisionLogWriter"]

_FULL_PAUSE_S: Final = 0.001
# Converting holds the interpreter, and costs a tick on its own several times its share of some.
_CONVERTED_AT_ONCE: Final = 16


class DecisionLogSettings(Settings):
    """Where decisions are written, and how far writing may lag behind deciding."""

    folder: Path = Path("runs/orchestrator/log")
    """One account's log; a restart goes on with it."""

    queue_ticks: int = Field(default=4096, ge=1)
    """Ticks that may be on their way to the disk; then deciding waits too."""

    batch_ticks: int = Field(default=128, ge=1)
    """Most ticks that are written and flushed at once."""

    flush_s: float = Field(default=1.0, gt=0.0)
    """Longest time until a tick is flushed when there is no full batch."""

    segment_ticks: int = Field(default=10_000, ge=1)
    """Ticks after which a segment is sealed as Parquet."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Ticks that are written and flushed at once: the number of the first, and their rows."""

    first_sequence: int
    tick_count: int
    rows: list[pa.RecordBatch]


class DecisionLogWriter:
    """Takes records and writes them, in their order, off the caller's path.

    Records become rows when they are appended, some at a time: their tick is done by then, and a
    thread that did it would take the interpreter from the ticks that follow. That thread has the
    disk alone to wait for.

    Back-pressure: when `queue_ticks` are not on the disk yet, `append` waits, and with it the next
    decision: a decision that cannot be recorded is not made. After a failure of the disk every
    `append` raises.

    Args:
        settings: Where and how.
        facts: What holds for every tick of this run, JSON values by name; kept in the metadata of
            its segments.
        before_flush: Called before each batch is written, on the thread of the log.

    Raises:
        StorageError: The folder cannot be written, or what a crash left cannot be recovered.
    """

    def __init__(
        self,
        settings: DecisionLogSettings,
        facts: Mapping[str, Any],
        before_flush: Callable[[], object] = lambda: None,
    ) -> None:
        self._settings = settings
        self._before_flush = before_flush
        self._schema = TICK_SCHEMA.with_metadata(
            {
                f"tradewind.{name}": json.dumps(value, sort_keys=True)
                for name, value in {"format_version": LOG_FORMAT_VERSION, **facts}.items()
            }
        )
        try:
            settings.folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise StorageError(f"decision log {settings.folder}: {problem}") from problem
        recover(settings.folder)
        self._batch_ticks = min(settings.batch_ticks, settings.queue_ticks)
        self._records: list[TickRecord] = []
        self._rows: list[pa.RecordBatch] = []
        self._first_sequence = self._tick_count = 0  # of the batch that is gathered
        self._soon_due = 0.0
        self._due: asyncio.TimerHandle | None = None
        self._appended_count = self._written_count = 0
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._failure: StorageError | None = None
        self.full_waits = 0
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)
        self._thread.start()

    async def append(self, record: TickRecord) -> None:
        """Hands over a record; returns at once unless the queue is full.

        Raises:
            StorageError: The log cannot be written.
        """
        if self._is_full():
            self.full_waits += 1
            while self._is_full() and self._failure is None:
                await asyncio.sleep(_FULL_PAUSE_S)
        self.check()
        now = time.monotonic()
        if not self._tick_count:
            self._first_sequence = record.sequence
            self._soon_due = now + self._settings.flush_s / 2.0
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(self._settings.flush_s, self._end_batch)
        self._records.append(record)
        self._tick_count += 1
        self._appended_count += 1
        # A batch that is soon due ends here, too: its tick is done, and the next one not yet there.
        if self._tick_count == self._batch_ticks or now >= self._soon_due:
            self._end_batch()
        elif len(self._records) == _CONVERTED_AT_ONCE:
            self._convert()
        self.check()

    def check(self) -> None:
        """Raises what made writing fail.

        Raises:
            StorageError: The log cannot be written.
        """
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Writes what waits and seals the segment.

        Raises:
            StorageError: Not everything could be written.
        """
        if self._tick_count:
            self._end_batch()
        self._batches.put(None)
        self._thread.join()
        self.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _is_full(self) -> bool:
        return self._appended_count - self._written_count >= self._settings.queue_ticks

    def _convert(self) -> None:
        """Makes rows of the records, or remembers why there are none."""
        if self._failure is None and self._records:
            try:
                self._rows.append(to_batch(self._records))
            except Exception as problem:  # whatever it was, the next append has to raise it
                self._fail(problem)
        self._records = []

    def _end_batch(self) -> None:
        """Gives what was gathered to the thread."""
        if self._due is not None:
            self._due.cancel()
        self._convert()
        if self._failure is None:
            self._batches.put(_Batch(self._first_sequence, self._tick_count, self._rows))
        self._rows = []
        self._tick_count = 0

    def _run(self) -> None:
        segment: OpenSegment | None = None
        try:
            while batch := self._batches.get():
                self._before_flush()
                if segment is None:
                    folder = self._settings.folder
                    segment = OpenSegment(folder, batch.first_sequence, self._schema)
                segment.append(batch.rows)
                self._written_count += batch.tick_count
                if segment.tick_count >= self._settings.segment_ticks:
                    segment.seal()
                    segment = None
            if segment is not None:
                segment.seal()
        except Exception as problem:
            self._fail(problem)
            if segment is not None:
                segment.abandon()

    def _fail(self, problem: Exception) -> None:
        if isinstance(problem, StorageError):
            self._failure = problem
        else:
            what = f"{type(problem).__name__}: {problem}"
            self._failure = StorageError(f"decision log {self._settings.folder}: {what}")
            self._failure.__cause__ = problem
