"""Follows the event bus and hands each browser what it does not have yet."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from pydantic_core import to_json

from orchestrator.events import LIVE_STATES, EventBus
from orchestrator.live.desk import RiskDesk, limits_at_start
from orchestrator.live.state import LiveState, Mark
from orchestrator.metrics import LiveCounts
from tradewind.errors import TradewindError
from tradewind.risk.decision import Halt

__all__ = ["Browser", "Hub"]

_logger = logging.getLogger(__name__)

_QUEUED_UPDATES: Final = 8
_QUEUED_TICKS: Final = 4_096
_QUIET_S: Final = 1.0
_ASK_AGAIN_S: Final = 5.0
_SPEED_WINDOW_S: Final = 5.0


class Browser:
    """What waits to be sent to one browser; one that falls behind begins anew with a snapshot."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._updates: deque[str] = deque()
        self._arrived = asyncio.Event()
        self._is_behind = True
        self._ended = False

    def offer(self, update: str) -> None:
        """Hands over an update without waiting."""
        if len(self._updates) == _QUEUED_UPDATES:
            self._updates.clear()
            self._is_behind = True
            self._hub.skipped_count += _QUEUED_UPDATES
        if not self._is_behind:
            self._updates.append(update)
        self._arrived.set()

    def end(self) -> None:
        """Says that nothing follows what waits."""
        self._ended = True
        self._arrived.set()

    async def next_message(self) -> str | None:
        """Waits for what comes next: first a snapshot, then updates, then None."""
        while True:
            if self._is_behind:
                self._is_behind = False
                return self._hub.first_message()
            if self._updates:
                return self._updates.popleft()
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()


class Hub:
    """Keeps the state of the page, and everybody who looks at it up to date.

    What it says is encoded once and kept until there is something new to say, however many ask.

    Args:
        bus: What the orchestrator says.
        state: What the page shows.
        desk: Asks the risk service.
        interval_s: Between two updates.
        resume: What the page may know about resuming.

    Attributes:
        skipped_count: Updates that browsers were too slow for.
        failed: The hub has stopped after a defect; the log says which.
    """

    def __init__(
        self,
        bus: EventBus,
        state: LiveState,
        desk: RiskDesk,
        *,
        interval_s: float,
        resume: dict[str, object],
    ) -> None:
        self._bus = bus
        self._state = state
        self._desk = desk
        self._interval_s = interval_s
        self._resume = resume
        self._browsers: set[Browser] = set()
        self._sent = Mark()
        self._dropped_ticks = 0
        self._tempo: deque[tuple[float, int, int]] = deque()
        self._halt: Halt | None = None
        self._halt_trouble = ""
        self._resumed: dict[str, object] | None = None
        self._halt_sequence = -2
        self._state_json: bytes | None = None
        self._first_message: str | None = None
        self.skipped_count = 0
        self.failed = False

    @property
    def browser_count(self) -> int:
        """How many look now."""
        return len(self._browsers)

    @property
    def missed_ticks(self) -> int:
        """Ticks that came faster than they could be taken in."""
        return self._bus.missed_ticks + self._dropped_ticks

    def counts(self) -> LiveCounts:
        """What it counts of itself."""
        return LiveCounts(self.browser_count, self.missed_ticks, self.skipped_count)

    @contextmanager
    def browser(self) -> Iterator[Browser]:
        """One more browser, for as long as the block lasts."""
        browser = Browser(self)
        self._browsers.add(browser)
        try:
            yield browser
        finally:
            self._browsers.discard(browser)

    async def run(self) -> None:
        """Follows and tells until it is cancelled; a defect ends the view and nothing else."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(self._tell())
                tasks.create_task(self._ask())
        except Exception:
            self.failed = True
            _logger.exception("the live view has failed; trading goes on without it")
        finally:
            for browser in self._browsers:
                browser.end()

    def tell_last(self) -> None:
        """Sends what there is, so that browsers keep the last word of a run."""
        self._broadcast()

    async def resume(self, name: str, role: str, reason: str) -> str:
        """Clears the halt; gives the id of that decision.

        Raises:
            TradewindError: It was refused, or it is not known whether it was done.
        """
        decision_id = await self._desk.resume(name, role, reason)
        _logger.warning("%s (%s) resumed the account from the live view: %s", name, role, reason)
        self._halt, self._halt_sequence = None, self._state.answered_sequence
        self._resumed = {
            "name": name,
            "at_ms": time.time_ns() // 1_000_000,
            "sequence": self._halt_sequence,
        }
        return decision_id

    def state_json(self) -> bytes:
        """Everything that the page shows, as JSON of the last interval."""
        if self._state_json is None:
            self._state_json = _encode(
                {
                    **self._message("snapshot"),
                    "run": self._state.run(),
                    "curves": self._state.curves(),
                    "ticks": self._state.rows(),
                }
            )
        return self._state_json

    def first_message(self) -> str:
        """The same, and what only the page itself needs: what a browser begins with."""
        if self._first_message is None:
            resume = _encode({"resume": self._resume})
            self._first_message = (self.state_json()[:-1] + b"," + resume[1:]).decode()
        return self._first_message

    async def _follow(self) -> None:
        with self._bus.subscribe(_QUEUED_TICKS) as subscription:
            for tick in self._bus.snapshot().ticks:
                self._state.take(tick)
            async for tick in subscription:
                self._state.take(tick)
                self._dropped_ticks = subscription.missed

    async def _tell(self) -> None:
        told: object = None
        last_at = 0.0
        while True:
            await asyncio.sleep(self._interval_s)
            now = time.monotonic()
            self._measure(now)
            if not self._browsers:
                self._mark_sent()
                continue
            found = (self._state.last, self._bus.snapshot().state)
            if found != told or now - last_at >= _QUIET_S:
                told, last_at = found, now
                self._broadcast()

    def _broadcast(self) -> None:
        update = _encode(
            {
                **self._message("update"),
                "curves": self._state.curves(self._sent),
                "ticks": self._state.rows_after(self._sent.sequence),
            }
        ).decode()
        self._mark_sent()
        for browser in self._browsers:
            browser.offer(update)

    def _mark_sent(self) -> None:
        """What comes now goes on from here, and so must what a browser begins with."""
        self._sent = self._state.mark()
        self._state_json = self._first_message = None

    async def _ask(self) -> None:
        """Asks what ticks do not say: why and since when there is a halt, and changed limits."""
        asked_at = -_ASK_AGAIN_S
        while True:
            await asyncio.sleep(self._interval_s)
            facts = self._bus.snapshot().facts
            if self._state.limits_of is None and "risk_policy" in facts:
                self._state.set_limits(*limits_at_start(facts))
            cause_is_missing = self._is_halted() and self._halt is None and not self._halt_trouble
            if facts and (cause_is_missing or time.monotonic() - asked_at >= _ASK_AGAIN_S):
                asked_at = time.monotonic()
                await self._ask_desk()

    async def _ask_desk(self) -> None:
        sequence = self._state.answered_sequence
        try:
            self._halt = await self._desk.halt()
            if self._state.answered_under not in (None, self._state.limits_of):
                found = await self._desk.risk_policy()
                self._state.set_limits(found.limits, found.policy_digest, found.overlay_digest)
            self._halt_trouble = ""
            self._halt_sequence = sequence
        except TradewindError as problem:
            self._halt_trouble = str(problem)

    def _measure(self, now: float) -> None:
        self._tempo.append((now, self._state.tick_count, self._state.decision_count))
        while now - self._tempo[0][0] > _SPEED_WINDOW_S:
            self._tempo.popleft()

    def _message(self, kind: str) -> dict[str, Any]:
        bus = self._bus.snapshot()
        (began, ticks, decisions), (ended, ticks_now, decisions_now) = (
            (self._tempo[0], self._tempo[-1]) if self._tempo else ((0.0, 0, 0),) * 2
        )
        took = ended - began
        return {
            "type": kind,
            "now_ms": time.time_ns() // 1_000_000,
            "state": self._shown_state(bus.state),
            "detail": bus.detail,
            "counters": bus.counters,
            "halt": self._halt_figures(),
            **self._state.figures(),
            "view": {
                "browser_count": len(self._browsers),
                "missed_ticks": self.missed_ticks,
                "skipped_updates": self.skipped_count,
                "ticks_per_s": (ticks_now - ticks) / took if took else 0.0,
                "decisions_per_s": (decisions_now - decisions) / took if took else 0.0,
            },
        }

    def _shown_state(self, state: str) -> str:
        if state == "HALTED":
            return "HALTED" if self._is_halted() else "TRADING"
        return "HALTED" if state in LIVE_STATES and self._is_halted() else state

    def _is_halted(self) -> bool:
        """As the risk service said last: in its answer to a tick, or when it was asked."""
        answered = self._state.answered_sequence
        if answered > self._halt_sequence:
            # Before the first answer to a tick there may be one that was given at the start.
            return self._state.halted or (answered < 0 and self._bus.snapshot().halt is not None)
        return self._halt is not None

    def _halt_figures(self) -> dict[str, object] | None:
        """The halt with its cause, as far as it is known; None when there is none."""
        resumed = self._resumed
        if resumed is not None and self._state.answered_sequence == resumed["sequence"]:
            return {"resumed": resumed}
        if not self._is_halted():
            return None
        halt = self._halt or self._bus.snapshot().halt
        if halt is None:
            return {"cause": None, "trouble": self._halt_trouble}
        return {
            "cause": {
                "action": halt.action.name,
                "since_ms": round(halt.since * 1e3),
                "rule": halt.rule,
                "reason": halt.reason,
                "decision_id": halt.decision_id,
            },
            "trouble": "",
        }


def _encode(message: dict[str, Any]) -> bytes:
    return to_json(message, inf_nan_mode="null")
