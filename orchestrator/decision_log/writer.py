"""Writes the decision log on a thread of its own."""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
from pydantic import Field

from orchestrator.decision_log.records import TickRecord
from orchestrator.decision_log.schema import LOG_FORMAT_VERSION, TICK_SCHEMA, to_batch
from orchestrator.decision_log.segments import OpenSegment, recover
from tradewind.errors import StorageError
from tradewind.settings import Settings

__all__ = ["DecisionLogSettings", "DecisionLogWriter"]

_FULL_PAUSE_S: Final = 0.001
_TICKS_AT_A_TIME: Final = 8  # converting holds the interpreter, which decides the next tick


class DecisionLogSettings(Settings):
    """Where decisions are written, and how far writing may lag behind deciding."""

    folder: Path = Path("runs/orchestrator/log")
    """One account's log; a restart goes on with it."""

    queue_ticks: int = Field(default=4096, ge=1)
    """Ticks that may wait to be written; then deciding waits too."""

    batch_ticks: int = Field(default=128, ge=1)
    """Most ticks that are written and flushed at once."""

    flush_s: float = Field(default=1.0, gt=0.0)
    """Longest time until a tick is flushed when there is no full batch."""

    segment_ticks: int = Field(default=10_000, ge=1)
    """Ticks after which a segment is sealed as Parquet."""


class DecisionLogWriter:
    """Takes records and writes them, in their order, off the caller's path.

    Back-pressure: when `queue_ticks` wait to be written, `append` waits, and with it the next
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
        self._waiting: deque[TickRecord] = deque()
        self._batch_ticks = min(settings.batch_ticks, settings.queue_ticks)
        self._wake = threading.Event()
        self._soon_due = 0.0
        self._closing = False
        self._failure: StorageError | None = None
        self.full_waits = 0
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)
        self._thread.start()

    async def append(self, record: TickRecord) -> None:
        """Hands over a record; returns at once unless the queue is full.

        Raises:
            StorageError: The log cannot be written.
        """
        if len(self._waiting) >= self._settings.queue_ticks:
            self.full_waits += 1
            while len(self._waiting) >= self._settings.queue_ticks and self._failure is None:
                await asyncio.sleep(_FULL_PAUSE_S)
        self.check()
        self._waiting.append(record)
        # The first begins a batch and the last ends it; the thread sleeps through those between.
        # A batch that is soon due ends here, too: its tick is done, and the next one not yet there.
        now = time.monotonic()
        if len(self._waiting) == 1:
            self._soon_due = now + self._settings.flush_s / 2.0
            self._wake.set()
        elif len(self._waiting) == self._batch_ticks or now >= self._soon_due:
            self._wake.set()

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
        self._closing = True
        self._wake.set()
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

    def _run(self) -> None:
        segment: OpenSegment | None = None
        try:
            while True:
                records, ended = self._next_batch()
                if records:
                    self._before_flush()
                    if segment is None:
                        first = records[0].sequence
                        segment = OpenSegment(self._settings.folder, first, self._schema)
                    segment.append(_batches(records))
                if segment and (ended or segment.tick_count >= self._settings.segment_ticks):
                    segment.seal()
                    segment = None
                if ended:
                    return
        except Exception as problem:  # whatever it was, the next append has to raise it
            self._failure = _as_storage_error(problem, self._settings.folder)
            if segment is not None:
                segment.abandon()

    def _next_batch(self) -> tuple[list[TickRecord], bool]:
        """A full batch, or what came within `flush_s` of the first; and whether it is the last."""
        if not self._waiting and not self._closing:
            self._wake.wait()
        self._wake.clear()
        if len(self._waiting) < self._batch_ticks and not self._closing:
            self._wake.wait(self._settings.flush_s)
            self._wake.clear()
        closing = self._closing  # looked at first: what was appended before is among the rest
        count = min(len(self._waiting), self._batch_ticks)
        records = [self._waiting.popleft() for _ in range(count)]
        return records, closing and not self._waiting


def _batches(records: list[TickRecord]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(records), _TICKS_AT_A_TIME):
        yield to_batch(records[start : start + _TICKS_AT_A_TIME])
        time.sleep(0)  # lets go of the interpreter


def _as_storage_error(problem: Exception, folder: Path) -> StorageError:
    if isinstance(problem, StorageError):
        return problem
    error = StorageError(f"decision log {folder}: {type(problem).__name__}: {problem}")
    error.__cause__ = problem
    return error
