"""Writes the decision log on a thread of its own."""

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pydantic import Field

from orchestrator.decision_log.records import TickRecord
from orchestrator.decision_log.schema import LOG_FORMAT_VERSION, TICK_SCHEMA, to_batch
from orchestrator.decision_log.segments import OpenSegment, recover
from tradewind.errors import StorageError
from tradewind.settings import Settings

__all__ = ["DecisionLogSettings", "DecisionLogWriter"]

_FULL_PAUSE_S: Final = 0.001


class DecisionLogSettings(Settings):
    """Where decisions are written, and how far writing may lag behind deciding."""

    folder: Path = Path("runs/orchestrator/log")
    """One account's log; a restart goes on with it."""

    queue_ticks: int = Field(default=4096, ge=1)
    """Ticks that may wait to be written; then deciding waits too."""

    batch_ticks: int = Field(default=32, ge=1)
    """Most ticks that are written and flushed at once."""

    flush_s: float = Field(default=0.2, gt=0.0)
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
        self._queue: queue.Queue[TickRecord | None] = queue.Queue()
        self._failure: StorageError | None = None
        self.full_waits = 0
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)
        self._thread.start()

    async def append(self, record: TickRecord) -> None:
        """Hands over a record; returns at once unless the queue is full.

        Raises:
            StorageError: The log cannot be written.
        """
        if self._queue.qsize() >= self._settings.queue_ticks:
            self.full_waits += 1
            while self._queue.qsize() >= self._settings.queue_ticks and self._failure is None:
                await asyncio.sleep(_FULL_PAUSE_S)
        self.check()
        self._queue.put_nowait(record)

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
        if self._thread.is_alive():
            self._queue.put(None)
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
                    segment.append(to_batch(records))
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
        """Records that came within `flush_s` of the first one, and whether they are the last."""
        record = self._queue.get()
        due = time.monotonic() + self._settings.flush_s
        records: list[TickRecord] = []
        while record is not None:
            records.append(record)
            if len(records) == self._settings.batch_ticks:
                return records, False
            try:
                record = self._queue.get(timeout=max(due - time.monotonic(), 0.0))
            except queue.Empty:
                return records, False
        return records, True


def _as_storage_error(problem: Exception, folder: Path) -> StorageError:
    if isinstance(problem, StorageError):
        return problem
    error = StorageError(f"decision log {folder}: {type(problem).__name__}: {problem}")
    error.__cause__ = problem
    return error
