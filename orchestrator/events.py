"""What the orchestrator tells whoever watches it, such as the live view."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from orchestrator.records import Outcome, RefusedBarRecord, TickRecord
from tradewind.market.bars import format_time
from tradewind.risk.decision import Halt

__all__ = ["LIVE_STATES", "EventBus", "Snapshot", "Status", "Subscription"]

LIVE_STATES: Final = frozenset({"TRADING", "WARMING_UP", "HOLDING", "WAITING"})
"""What a trading orchestrator may be shown as; see `Snapshot.state`."""

_KEPT_TICKS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where the orchestrator stands; what a watcher that joins late begins with.

    Attributes:
        state: STARTING, TRADING, HALTED, STOPPED or FAILED; in place of TRADING also WARMING_UP
            and HOLDING, as the last tick came out, and WAITING for a tick that is overdue.
        detail: Why, for people; empty while trading.
        facts: What holds for the run: account, symbols, policies, limits of the risk policy.
        ticks: The last ticks, oldest first.
        counters: Counts by name since the start: bars, ticks, orders, fills, halts, each reason
            code and each fault of a bar.
        halt: The halt of the account; None when it is not halted, as far as ticks say.
        due_ns: When the next tick must have come by the machine's clock, nanoseconds since the
            epoch; None while that is not known.
    """

    state: str
    detail: str
    facts: Mapping[str, object]
    ticks: tuple[TickRecord, ...]
    counters: Mapping[str, int]
    due_ns: int | None = None
    halt: Halt | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What a snapshot says beside its ticks, and how many of them were lost on the way.

    Attributes:
        facts: None where they are those that were said before.
        missed_ticks: Ticks that could not be handed on to another process.
        due_ns: As in Snapshot.
        due_at_ns: The same by the monotonic clock, which all processes of a machine share.
        refused: The last bar that was refused since the last tick.
    """

    state: str
    detail: str
    facts: Mapping[str, object] | None
    counters: Mapping[str, int]
    halt: Halt | None
    missed_ticks: int = 0
    due_ns: int | None = None
    due_at_ns: int = 0
    refused: RefusedBarRecord | None = None


@dataclass(slots=True, eq=False)
class Subscription:
    """An endless iterator over ticks; one that falls behind loses the oldest, and counts them.

    Attributes:
        missed: Ticks that were dropped because they were not taken in time.
    """

    capacity: int
    missed: int = 0
    _ticks: deque[TickRecord] = field(default_factory=deque)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def __aiter__(self) -> AsyncIterator[TickRecord]:
        return self

    async def __anext__(self) -> TickRecord:
        while not self._ticks:
            self._arrived.clear()
            await self._arrived.wait()
        return self._ticks.popleft()

    async def changed(self) -> None:
        """Waits until there are ticks, or the status is another one."""
        await self._arrived.wait()
        self._arrived.clear()

    def take(self) -> list[TickRecord]:
        """Every tick that waits."""
        taken = list(self._ticks)
        self._ticks.clear()
        return taken

    def poke(self) -> None:
        """Says that the status is another one."""
        self._arrived.set()

    def offer(self, tick: TickRecord) -> None:
        """Hands over a tick without waiting."""
        if len(self._ticks) == self.capacity:
            self._ticks.popleft()
            self.missed += 1
        self._ticks.append(tick)
        self._arrived.set()


class EventBus:
    """Hands ticks to subscribers on the loop of the orchestrator; a slow one delays nobody.

    Args:
        kept_ticks: How many of the last ticks a snapshot has.

    Attributes:
        missed_ticks: Ticks that were lost before they came here, from another process.
        status_number: Counts the changes of the status.
        facts_number: Counts the changes of the facts.
    """

    def __init__(self, kept_ticks: int = _KEPT_TICKS) -> None:
        self._ticks: deque[TickRecord] = deque(maxlen=kept_ticks)
        self._subscriptions: set[Subscription] = set()
        self._state, self._detail = "STARTING", ""
        self._facts: dict[str, object] = {}
        self._counters: dict[str, int] = {}
        self._due_ns: int | None = None
        self._due_at_ns = 0
        self._refusal: RefusedBarRecord | None = None
        self._halt: Halt | None = None
        self._listeners: list[Callable[[str], None]] = []
        self.missed_ticks = 0
        self.status_number = 0
        self.facts_number = 0

    def publish(self, tick: TickRecord) -> None:
        """Takes in a tick and hands it on."""
        self._ticks.append(tick)
        self._refusal = None
        for name, count in (
            ("ticks", 1),
            ("decided_ticks", int(tick.outcome in (Outcome.DECIDED, Outcome.FLATTENED))),
            ("bars", len(tick.bars)),
            ("fills", len(tick.fills)),
            ("orders", sum(order.sent for order in tick.orders)),
        ):
            self._counters[name] = self._counters.get(name, 0) + count
        faults = [bar.fault for bar in tick.refused_bars]
        flags = [flag for bar in tick.bars for flag in bar.flags]
        for name in (*tick.reasons, *faults, *flags):
            self._counters[name] = self._counters.get(name, 0) + 1
        for subscription in self._subscriptions:
            subscription.offer(tick)

    def set_state(self, state: str, detail: str = "") -> None:
        """Says where the orchestrator stands; see `Snapshot.state`."""
        self._state, self._detail = state, detail
        self._poke()

    def set_halt(self, halt: Halt | None, detail: str = "") -> None:
        """Says that the account is halted and what is done about it, or that it is no more."""
        self._halt = halt
        self.set_state("TRADING" if halt is None else "HALTED", detail)

    def count(self, name: str) -> None:
        """Counts something that is no part of a tick."""
        self._counters[name] = self._counters.get(name, 0) + 1

    def announce(self, text: str) -> None:
        """Tells people something that they must not miss."""
        for listener in self._listeners:
            listener(text)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Has a function called with what is announced."""
        self._listeners.append(listener)

    def set_facts(self, facts: Mapping[str, object]) -> None:
        """Says what holds for the run."""
        self._facts = dict(facts)
        self.facts_number += 1
        self._poke()

    def status(self, missed_ticks: int = 0, *, with_facts: bool = True) -> Status:
        """Where the orchestrator stands now, without ticks."""
        return Status(
            self._state,
            self._detail,
            self._facts if with_facts else None,
            dict(self._counters),
            self._halt,
            missed_ticks,
            self._due_ns,
            self._due_at_ns,
            self._refusal,
        )

    def restore(self, status: Status) -> None:
        """Takes over what the bus of another process says; its ticks come by `publish`."""
        self._state, self._detail, self._halt = status.state, status.detail, status.halt
        self._counters, self._refusal = dict(status.counters), status.refused
        if status.facts is not None:
            self._facts = dict(status.facts)
        self.missed_ticks = status.missed_ticks
        self._due_ns, self._due_at_ns = status.due_ns, status.due_at_ns
        self._poke()

    def _poke(self) -> None:
        self.status_number += 1
        for subscription in self._subscriptions:
            subscription.poke()

    def expect(self, due_ns: int) -> None:
        """Says when the next tick must have come by the machine's clock."""
        self._due_ns = due_ns
        # A clock that is set back must not put it off.
        self._due_at_ns = time.monotonic_ns() + due_ns - time.time_ns()
        self._poke()

    def refuse(self, refused: RefusedBarRecord) -> None:
        """Takes note of a bar that was refused, at once: there may never be a tick."""
        self._refusal = refused
        self._poke()

    def snapshot(self) -> Snapshot:
        """Where the orchestrator stands now."""
        state, detail = self._standing()
        return Snapshot(
            state,
            detail,
            self._facts,
            tuple(self._ticks),
            dict(self._counters),
            self._due_ns,
            self._halt,
        )

    def overdue(self) -> str:
        """Since when a tick is overdue, halted or not; empty while none is."""
        if self._due_ns is None or time.monotonic_ns() <= self._due_at_ns:
            return ""
        detail = f"no tick since it was due at {format_time(self._due_ns)}"
        if self._refusal is not None:
            fault, symbol = self._refusal.fault, self._refusal.symbol
            detail += f"; the last bar was refused: {fault} {symbol}: {self._refusal.detail}"
        return detail

    def _standing(self) -> tuple[str, str]:
        """What trading comes to: nobody trades who has no bars, or none that count."""
        if self._state != "TRADING":
            return self._state, self._detail
        if overdue := self.overdue():
            return "WAITING", overdue
        last = self._ticks[-1] if self._ticks else None
        if last is not None and last.outcome in (Outcome.WARM_UP, Outcome.HELD):
            state = "WARMING_UP" if last.outcome is Outcome.WARM_UP else "HOLDING"
            return state, ", ".join(last.reasons)
        return self._state, self._detail

    @contextmanager
    def subscribe(self, capacity: int = 256) -> Iterator[Subscription]:
        """Ticks from now on, for as long as the block lasts.

        Args:
            capacity: Ticks that may wait to be taken.
        """
        subscription = Subscription(capacity)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
