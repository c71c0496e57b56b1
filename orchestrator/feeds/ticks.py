"""From bars one by one to ticks: all bars that close at one time."""

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from orchestrator.feeds.early import WaitingRoom
from orchestrator.feeds.feed import FeedBar, FeedFault
from orchestrator.feeds.guard import BarFault, BarFlag, BarGuard
from orchestrator.records import BarRecord, RefusedBarRecord

__all__ = ["Tick", "read_ticks"]

_QUEUE_ITEMS: Final = 1_024
_KEPT_REFUSALS: Final = 256
_LOOK_EVERY: Final = 16
"""So many bars are taken in a row before the clock is looked at."""

TellRefusal = Callable[[RefusedBarRecord], None]
"""Hears of every bar that is refused, at once: a tick may never come."""


@dataclass(slots=True)
class Tick:
    """The bars of one close.

    Attributes:
        close_ns: When they close, nanoseconds since the epoch.
        bars: Bars that the guard let through, in the order of their arrival. A straggler of an
            earlier close is flagged LATE.
        refused: Bars that it did not, since the tick before: the first 256, and for more of them
            how many there were of each fault.
        now_ns: The feed's clock at the last of them.
        complete_ns: The machine's monotonic clock when the tick was complete.
    """

    close_ns: int
    bars: list[BarRecord] = field(default_factory=list)
    refused: list[RefusedBarRecord] = field(default_factory=list)
    now_ns: int = 0
    complete_ns: int = 0


async def read_ticks(
    feed: AsyncIterable[FeedBar | FeedFault],
    guard: BarGuard,
    symbols: Sequence[str],
    *,
    interval_ns: int,
    wait_s: float,
    tell_refusal: TellRefusal | None = None,
) -> AsyncIterator[Tick]:
    """Reads a feed to its end.

    A tick is complete when every symbol has its bar, when a bar of a later close comes, or
    `wait_s` seconds after its first bar: who is missing then holds. A bar that arrives before its
    close, by no more than clocks may differ, and does not say that it has closed, waits until it
    has closed by either clock: of several for one time the last one counts.

    Args:
        feed: The bars.
        guard: Checks each of them.
        symbols: What to wait for.
        interval_ns: Length of a bar.
        wait_s: How long to wait for the others.
        tell_refusal: Hears of refused bars.
    """
    queue: asyncio.Queue[FeedBar | FeedFault | None] = asyncio.Queue(_QUEUE_ITEMS)
    pump = asyncio.create_task(_pump(feed, queue))
    assembly = _Assembly(guard, len(symbols), interval_ns, wait_s, tell_refusal)
    loop = asyncio.get_running_loop()
    in_a_row = 0
    try:
        while True:
            item = None
            try:
                item = queue.get_nowait()
            except asyncio.QueueEmpty:
                in_a_row = 0
                try:
                    async with asyncio.timeout_at(assembly.due):
                        item = await queue.get()
                except TimeoutError:
                    for tick in assembly.expire(loop.time()):
                        yield tick
                    continue
            if item is None:
                break
            for tick in assembly.add(item):
                yield tick
            # Whatever is flooded with items that make no tick must not wait for a pause.
            in_a_row += 1
            if in_a_row % _LOOK_EVERY == 0:
                due = assembly.due
                if due is not None and loop.time() >= due:
                    for tick in assembly.expire(loop.time()):
                        yield tick
        for tick in assembly.end():
            yield tick
        await pump  # raises what ended the feed
    finally:
        pump.cancel()
        with suppress(asyncio.CancelledError):
            await pump


async def _pump(
    feed: AsyncIterable[FeedBar | FeedFault],
    queue: "asyncio.Queue[FeedBar | FeedFault | None]",
) -> None:
    try:
        async for item in feed:
            await queue.put(item)
    except Exception:  # whatever it was, the reader has to wake up to raise it
        await queue.put(None)
        raise
    await queue.put(None)


class _Assembly:
    """The tick that is being put together."""

    def __init__(
        self,
        guard: BarGuard,
        symbol_count: int,
        interval_ns: int,
        wait_s: float,
        tell_refusal: TellRefusal | None,
    ) -> None:
        self._guard = guard
        self._symbol_count = symbol_count
        self._interval_ns = interval_ns
        self._wait_s = wait_s
        self._tell_refusal = tell_refusal
        self._early = WaitingRoom(guard.early_ns, guard.settings.max_clock_skew_s)
        self._forming: Tick | None = None
        self._refused: list[RefusedBarRecord] = []
        self._more_refused: Counter[str] = Counter()
        self._stragglers: list[BarRecord] = []
        self._began_at = 0.0
        self._on_time = 0
        self._last_close_ns: int | None = None

    @property
    def due(self) -> float | None:
        """When to wait no longer, on the loop's clock; None without end."""
        early = self._early.due
        if self._forming is None:
            return early
        complete = self._began_at + self._wait_s
        return complete if early is None else min(complete, early)

    def add(self, item: FeedBar | FeedFault) -> list[Tick]:
        """Takes in what arrived; gives the ticks that it completes, oldest first."""
        if isinstance(item, FeedFault):
            self._refuse(RefusedBarRecord("", 0, BarFault.MALFORMED, item.detail))
            return []
        if item.bar.timestamp_ns + self._interval_ns <= item.arrived_ns and not self._early.waiting:
            return self._check(item)  # nearly every bar
        early = self._early.find(item.symbol)
        if early is None:
            return self._receive(item)
        if item.bar.timestamp_ns < early.bar.timestamp_ns:
            return self._check(item)
        self._early.remove(item.symbol)
        if item.bar.timestamp_ns > early.bar.timestamp_ns:
            return [*self._check(early), *self._receive(item)]
        detail = f"{early.bar} came before its close, and then {item.bar}"
        self._refuse(
            RefusedBarRecord(early.symbol, early.bar.timestamp_ns, BarFault.FORMING, detail)
        )
        return self._receive(item)

    def expire(self, now: float) -> list[Tick]:
        """What is complete because its time is over, oldest first."""
        done = [tick for item in self._early.take_due(now) for tick in self._check(item)]
        if self._forming is not None and now >= self._began_at + self._wait_s:
            done += self._complete()
        return done

    def end(self) -> list[Tick]:
        """What is complete because nothing more comes, oldest first."""
        done = [tick for item in self._early.take_all() for tick in self._check(item)]
        if self._forming is not None:
            done.append(self._finish())
        return done

    def _receive(self, item: FeedBar) -> list[Tick]:
        if self._guard.knows(item.symbol) and self._early.may_form(item):
            self._early.keep(item, asyncio.get_running_loop().time())
            return []
        return self._check(item)

    def _check(self, item: FeedBar) -> list[Tick]:
        checked = self._guard.check(item)
        if isinstance(checked, RefusedBarRecord):
            self._refuse(checked)
            return []
        done = []
        close_ns = checked.start_ns + self._interval_ns
        if self._forming is not None and close_ns > self._forming.close_ns:
            done += self._complete()
        if self._is_straggler(close_ns):
            late = dataclasses.replace(checked, flags=tuple({*checked.flags, BarFlag.LATE}))
            self._stragglers.append(late)
            return done
        if self._forming is None:
            self._forming = Tick(close_ns)
            self._began_at = asyncio.get_running_loop().time()
            self._on_time = 0
        self._forming.bars.append(checked)
        if item.arrived_ns > self._forming.now_ns:
            self._forming.now_ns = item.arrived_ns
        self._on_time += 1
        if self._on_time == self._symbol_count:
            done.append(self._finish())
        return done

    def _complete(self) -> list[Tick]:
        """Closes the tick after a last look at who waits with a bar of it."""
        assert self._forming is not None
        start_ns = self._forming.close_ns - self._interval_ns
        done = [tick for item in self._early.take_older(start_ns) for tick in self._check(item)]
        if self._forming is not None:
            done.append(self._finish())
        return done

    def _finish(self) -> Tick:
        """The tick as far as it has come."""
        assert self._forming is not None
        tick, self._forming = self._forming, None
        tick.bars = [*self._stragglers, *tick.bars]
        tick.refused = self._refused
        if self._more_refused:
            tick.refused += [
                RefusedBarRecord("", 0, fault, f"{count} more were refused before this tick")
                for fault, count in self._more_refused.items()
            ]
            self._more_refused = Counter()
        self._refused, self._stragglers = [], []
        tick.complete_ns = time.perf_counter_ns()
        self._last_close_ns = tick.close_ns
        return tick

    def _refuse(self, refused: RefusedBarRecord) -> None:
        if len(self._refused) < _KEPT_REFUSALS:
            self._refused.append(refused)
        else:
            self._more_refused[refused.fault] += 1
        if self._tell_refusal is not None:
            self._tell_refusal(refused)

    def _is_straggler(self, close_ns: int) -> bool:
        if self._forming is not None:
            return close_ns < self._forming.close_ns
        return self._last_close_ns is not None and close_ns <= self._last_close_ns
