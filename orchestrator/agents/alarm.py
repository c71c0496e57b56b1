"""Watches the event bus for what people must be told of at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from orchestrator.agents.reasons import Reason
from orchestrator.events import LIVE_STATES, EventBus, Snapshot
from tradewind.alerts import AlertKind, Alerts
from tradewind.risk.decision import Halt

__all__ = ["Alarm"]

_LOOK_S: Final = 0.5
_DOWN: Final = {
    Reason.INFERENCE_UNAVAILABLE: "inference service",
    Reason.RISK_UNAVAILABLE: "risk service",
    Reason.BROKER_UNAVAILABLE: "broker",
}


class Alarm:
    """Tells of halts at once, and of services and feeds that are gone for a while.

    Args:
        bus: What the orchestrator says.
        alerts: Who tells people.
        account: The account.
        resume: What resumes it once it is halted.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        bus: EventBus,
        alerts: Alerts,
        account: str,
        resume: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._alerts = alerts
        self._account = account
        self._resume = resume
        self._clock = clock
        self._halt: Halt | None = None
        self._since: dict[tuple[AlertKind, str], float] = {}

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Looks inside the block, and once more at its end."""
        looking = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            looking.cancel()
            self.look()

    async def _keep_looking(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(_LOOK_S)

    def look(self) -> None:
        """Looks once."""
        snapshot = self._bus.snapshot()
        self._look_at_halt(snapshot)
        if snapshot.state == "FAILED":
            self._alerts.trouble(AlertKind.FAILED, self._account, snapshot.detail)
        gone = _gone(snapshot)
        # A halted account may still hold what the next tick is to close.
        is_live = snapshot.state in LIVE_STATES or snapshot.state == "HALTED"
        waiting = self._bus.overdue() if is_live else ""
        self._judge(AlertKind.FEED_STALE, "feed", waiting)
        for name in _DOWN.values():
            self._judge(AlertKind.SERVICE_DOWN, name, gone.get(name, ""))

    def _look_at_halt(self, snapshot: Snapshot) -> None:
        halt = snapshot.halt
        if halt is not None and halt != self._halt:
            text = f"rule {halt.rule}: {snapshot.detail}\nto resume: {self._resume}"
            self._alerts.trouble(AlertKind.HALT, self._account, text, halt.decision_id)
        elif halt is None and self._halt is not None:
            self._alerts.over(AlertKind.HALT, self._account, "the account is halted no more")
        self._halt = halt

    def _judge(self, kind: AlertKind, subject: str, problem: str) -> None:
        """Tells of a problem that lasts, and of its end."""
        named = f"{subject} of {self._account}"
        if not problem:
            if self._since.pop((kind, subject), None) is not None:
                self._alerts.over(kind, named, f"the {subject} is there again")
            return
        since = self._since.setdefault((kind, subject), self._clock())
        if self._clock() - since >= self._alerts.after_s:
            self._alerts.trouble(kind, named, problem)


def _gone(snapshot: Snapshot) -> dict[str, str]:
    """Who did not answer at the last tick."""
    if not snapshot.ticks:
        return {}
    last = snapshot.ticks[-1]
    reasons = {*last.reasons, *(order.reason for order in last.orders)}
    return {
        name: f"no answer at the last tick ({reason}); nothing is traded on it"
        for reason, name in _DOWN.items()
        if reason in reasons
    }
