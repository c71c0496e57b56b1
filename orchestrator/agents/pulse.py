"""Says now and then where an account stands, to whoever sits at the terminal or reads the log."""

import asyncio
import contextlib
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TextIO

from orchestrator.events import EventBus, Snapshot
from orchestrator.records import TickRecord
from tradewind.market.bars import format_time

__all__ = ["Pulse"]

_logger = logging.getLogger(__name__)

_TERMINAL_S: Final = 1.0
_LOG_S: Final = 60.0
_LAST_S: Final = 0.5
_QUIET: Final = "TRADEWIND_QUIET"


class Pulse:
    """A line a second on a terminal, a record a minute in a log; none while nothing has changed.

    Args:
        bus: What the orchestrator says.
        account: The account.
        stream: Standard error; a terminal gets lines for people, and the log records otherwise.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        bus: EventBus,
        account: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._account = account
        self._stream = stream or sys.stderr
        self._clock = clock
        self._is_terminal = self._stream is not None and self._stream.isatty()
        # One that waits for a terminal that is held (Ctrl-S) must not be the loop that trades.
        self._lines: queue.Queue[str | None] = queue.Queue(1)
        self._said: tuple[str, int] = ("", 0)
        self._said_at = self._began_at = clock()

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Speaks inside the block, and once more at its end."""
        if os.environ.get(_QUIET, "0") not in ("", "0"):
            yield
            return
        if self._is_terminal:
            threading.Thread(target=self._write, name="pulse", daemon=True).start()
        beating = asyncio.create_task(self._keep_beating())
        try:
            yield
        finally:
            beating.cancel()
            self.beat()
            with contextlib.suppress(queue.Full):
                self._lines.put(None, timeout=_LAST_S)  # the line before it is being written

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(_TERMINAL_S)
            if self._is_terminal or self._clock() - self._said_at >= _LOG_S:
                self.beat()

    def beat(self) -> None:
        """Says where the account stands, if that has changed."""
        snapshot = self._bus.snapshot()
        ticks, before = snapshot.counters.get("ticks", 0), self._said[1]
        if not snapshot.ticks or (snapshot.state, ticks) == self._said:
            return
        now = self._clock()
        rate = (ticks - before) / max(now - self._said_at, 1e-3)
        self._said, self._said_at = (snapshot.state, ticks), now
        fields = _fields(snapshot, snapshot.ticks[-1], rate)
        if self._is_terminal:
            with contextlib.suppress(queue.Full):
                self._lines.put_nowait(_line(self._account, fields))
        else:
            _logger.info("account %s", self._account, extra={"fields": fields})

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(line + "\n")
                self._stream.flush()


def _fields(snapshot: Snapshot, tick: TickRecord, rate: float) -> dict[str, Any]:
    risk, halt = tick.risk, snapshot.halt
    capital: Any = snapshot.facts.get("capital_base")
    demanded = ("no answer",) if risk is None else (risk.action, *risk.breaches)
    held = [f"{item.symbol} {item.quantity:.6g}" for item in tick.positions if item.quantity]
    return {
        "state": snapshot.state if halt is None else f"{snapshot.state} by rule {halt.rule}",
        "bars_until": format_time(tick.close_ns),
        "ticks": snapshot.counters.get("ticks", 0),
        "ticks_per_second": round(rate, 1),
        "equity": round(tick.equity, 2),
        "gain": round(tick.equity / capital - 1.0, 6) if capital else None,
        "drawdown": None if risk is None else risk.metrics.get("current_drawdown"),
        "risk": "; ".join(demanded),
        "held": ", ".join(held),
        "why": ", ".join(tick.reasons),
    }


def _line(account: str, fields: Mapping[str, Any]) -> str:
    """For people; what is no character of a line, such as a terminal's escapes, is left out."""
    said = [
        f"{account} {fields['bars_until']} {fields['state']}",
        f"{fields['ticks']:,} ticks, {fields['ticks_per_second']:,g}/s",
        f"equity {fields['equity']:,.2f}",
    ]
    if fields["gain"] is not None:
        said[-1] += f" ({fields['gain']:+.2%})"
    if fields["drawdown"] is not None:
        said.append(f"drawdown {fields['drawdown']:.2%}")
    said.append(f"risk {fields['risk']}")
    said += [f"{name} {fields[name]}" for name in ("held", "why") if fields[name]]
    return "".join(each for each in " · ".join(said) if each.isprintable())
