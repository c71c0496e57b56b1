"""From bars one by one to ticks: all bars that close at one time."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from orchestrator.decision_log.records import BarRecord, RefusedBarRecord
from orchestrator.feeds.feed import Feed, FeedBar, FeedFault
from orchestrator.feeds.guard import BarFault, BarFlag, BarGuard

__all__ = ["Tick", "read_ticks"]

_QUEUE_ITEMS: Final = 1_024


@dataclass(slots=True)
class Tick:
    """The bars of one close.

    Attributes:
        close_ns: When they close, nanoseconds since the epoch.
        bars: Bars that the guard let through, in the order of their arrival. A straggler of an
            earlier close is flagged LATE.
        refused: Bars that it did not, since the tick before.
        now_ns: The feed's clock at the last of them.
        complete_ns: The machine's monotonic clock when the tick was complete.
    """

    close_ns: int
    bars: list[BarRecord] = field(default_factory=list)
    refused: list[RefusedBarRecord] = field(default_factory=list)
    now_ns: int = 0
    complete_ns: int = 0


async def read_ticks(
    feed: Feed, guard: BarGuard, symbols: Sequence[str], *, interval_ns: int, wait_s: float
) -> AsyncIterator[Tick]:
    """Reads a feed to its end.

    A tick is complete when every symbol has its bar, when a bar of a later close comes, or
    `wait_s` seconds after its first bar: who is missing then holds.

    Args:
        feed: The bars.
        guard: Checks each of them.
        symbols: What to wait for.
        interval_ns: Length of a bar.
        wait_s: How long to wait for the others.
    """
    queue: asyncio.Queue[FeedBar | FeedFault | None] = asyncio.Queue(_QUEUE_ITEMS)
    pump = asyncio.create_task(_pump(feed, queue))
    assembly = _Assembly(guard, len(symbols), interval_ns)
    try:
        while True:
            item = None
            try:
                item = queue.get_nowait()
            except asyncio.QueueEmpty:
                try:
                    async with asyncio.timeout_at(assembly.due(wait_s)):
                        item = await queue.get()
                except TimeoutError:
                    yield assembly.finish()
                    continue
            if item is None:
                break
            for tick in assembly.add(item):
                yield tick
        if assembly.forming is not None:
            yield assembly.finish()
        await pump  # raises what ended the feed
    finally:
        pump.cancel()
        with suppress(asyncio.CancelledError):
            await pump


async def _pump(feed: Feed, queue: "asyncio.Queue[FeedBar | FeedFault | None]") -> None:
    try:
        async for item in feed:
            await queue.put(item)
    except Exception:  # whatever it was, the reader has to wake up to raise it
        await queue.put(None)
        raise
    await queue.put(None)


class _Assembly:
    """The tick that is being put together."""

    def __init__(self, guard: BarGuard, symbol_count: int, interval_ns: int) -> None:
        self._guard = guard
        self._symbol_count = symbol_count
        self._interval_ns = interval_ns
        self.forming: Tick | None = None
        self._refused: list[RefusedBarRecord] = []
        self._stragglers: list[BarRecord] = []
        self._began_at = 0.0
        self._on_time = 0
        self._last_close_ns: int | None = None

    def due(self, wait_s: float) -> float | None:
        """When to wait no longer, on the loop's clock; None without end."""
        return None if self.forming is None else self._began_at + wait_s

    def add(self, item: FeedBar | FeedFault) -> list[Tick]:
        """Takes in what arrived; gives the ticks that it completes, oldest first."""
        if isinstance(item, FeedFault):
            self._refused.append(RefusedBarRecord("", 0, BarFault.MALFORMED, item.detail))
            return []
        checked = self._guard.check(item)
        if isinstance(checked, RefusedBarRecord):
            self._refused.append(checked)
            return []
        done = []
        close_ns = checked.start_ns + self._interval_ns
        if self.forming is not None and close_ns > self.forming.close_ns:
            done.append(self.finish())
        if self._is_straggler(close_ns):
            late = dataclasses.replace(checked, flags=tuple({*checked.flags, BarFlag.LATE}))
            self._stragglers.append(late)
            return done
        if self.forming is None:
            self.forming = Tick(close_ns)
            self._began_at = asyncio.get_running_loop().time()
            self._on_time = 0
        self.forming.bars.append(checked)
        self.forming.now_ns = max(self.forming.now_ns, item.arrived_ns)
        self._on_time += 1
        if self._on_time == self._symbol_count:
            done.append(self.finish())
        return done

    def finish(self) -> Tick:
        """The tick as far as it has come."""
        assert self.forming is not None
        tick, self.forming = self.forming, None
        tick.bars = [*self._stragglers, *tick.bars]
        tick.refused, self._refused, self._stragglers = self._refused, [], []
        tick.complete_ns = time.perf_counter_ns()
        self._last_close_ns = tick.close_ns
        return tick

    def _is_straggler(self, close_ns: int) -> bool:
        if self.forming is not None:
            return close_ns < self.forming.close_ns
        return self._last_close_ns is not None and close_ns <= self._last_close_ns
