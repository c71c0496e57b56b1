"""Runs the live view and the metrics beside the trading, in a process of their own.

Threads of one process share the interpreter's lock: whoever asks the view would slow the trading
down. So the orchestrator only writes each tick into a pipe, and what is made of it, for however
many who look, takes other time than its own. The other process ends with the pipe, whatever became
of the orchestrator.
"""

import asyncio
import contextlib
import json
import logging
import sys
from typing import Any, Final, Self

from orchestrator.events import EventBus, Subscription
from orchestrator.live.wire import encode
from orchestrator.records import TickRecord
from orchestrator.settings import OrchestratorSettings
from tradewind.errors import SettingsError, UnavailableError

__all__ = ["WatchProcess"]

_logger = logging.getLogger(__name__)

_QUEUED_TICKS: Final = 4_096
_LARGEST_BACKLOG: Final = 8 * 1024 * 1024
_STATUS_EVERY_S: Final = 0.1
_START_S: Final = 60.0
_END_S: Final = 8.0


class WatchProcess:
    """The live view, the metrics, or both, for the time of a block; trading never waits for it.

    Args:
        settings: The account; its `live` and `metrics_listen` say what is served.
        bus: What the orchestrator says.

    Attributes:
        url: Where a browser on this machine finds the live view; empty without one.
        metrics_address: `HOST:PORT` of the metrics on their own; empty without.
    """

    def __init__(self, settings: OrchestratorSettings, bus: EventBus) -> None:
        self._settings = settings
        self._bus = bus
        self._missed = 0
        self._status_number = self._facts_number = -1
        self._status_at = -_STATUS_EVERY_S
        self._again: asyncio.TimerHandle | None = None
        self.url = ""
        self.metrics_address = ""

    async def __aenter__(self) -> Self:
        """Starts the process and waits until it listens.

        Raises:
            SettingsError: The address cannot be listened on, or a TLS file cannot be used.
            UnavailableError: The process did not start.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orchestrator.live",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            self._pipe.write(encode(self._settings))
            said = await self._hear()
        except BaseException:
            await self._end()
            raise
        self.url, self.metrics_address = said["url"], said["metrics"]
        self._subscribed = self._bus.subscribe(_QUEUED_TICKS)
        self._subscription = self._subscribed.__enter__()
        for tick in self._bus.snapshot().ticks:
            self._write(tick)
        self._subscription.poke()
        self._tasks = [asyncio.create_task(it) for it in (self._follow(), self._notice_end())]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hands over the last word and ends the process; whatever fails here is only logged."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        try:
            self._hand_over(self._subscription, is_last=True)
        finally:
            self._subscribed.__exit__(None, None, None)
            await self._end()

    @property
    def _pipe(self) -> asyncio.StreamWriter:
        assert self._process.stdin is not None
        return self._process.stdin

    async def _hear(self) -> dict[str, Any]:
        """What the process says when it listens, or why it does not."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_START_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise UnavailableError("the live view did not start in time") from None
        said: dict[str, Any] = json.loads(line) if line else {"error": None}
        if "error" in said:
            if said["error"] is None:
                raise UnavailableError("the live view ended at its start: the log says why")
            raise SettingsError(said["error"])
        return said

    async def _follow(self) -> None:
        while True:
            await self._subscription.changed()
            self._hand_over(self._subscription)

    async def _notice_end(self) -> None:
        code = await self._process.wait()
        _logger.error("the live view has ended (exit %s); trading goes on without it", code)

    def _hand_over(self, subscription: Subscription, *, is_last: bool = False) -> None:
        """Writes what is new, as far as there is room: a process that hangs costs nothing.

        The status goes after the ticks, which it counts too: both sides then count the same. It
        goes seldom, for the other side counts ticks by itself, and a flood of refused bars changes
        it with each of them.
        """
        for tick in subscription.take():
            self._write(tick)
        missed = self._missed + subscription.missed
        number = self._bus.status_number + missed
        if number == self._status_number or self._process.returncode is not None:
            return
        now = asyncio.get_running_loop().time()
        is_due = is_last or now >= self._status_at + _STATUS_EVERY_S
        if is_due and self._has_room():
            facts = self._bus.facts_number
            status = self._bus.status(missed, with_facts=facts != self._facts_number)
            self._pipe.write(encode(status))
            self._status_number, self._facts_number, self._status_at = number, facts, now
        elif self._again is None:
            loop = asyncio.get_running_loop()
            self._again = loop.call_later(_STATUS_EVERY_S, self._look_again)

    def _look_again(self) -> None:
        self._again = None
        self._subscription.poke()

    def _write(self, tick: TickRecord) -> None:
        if self._has_room():
            self._pipe.write(encode(tick))
        else:
            self._missed += 1

    def _has_room(self) -> bool:
        return (
            self._process.returncode is None
            and self._pipe.transport.get_write_buffer_size() < _LARGEST_BACKLOG
        )

    async def _end(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._pipe.close()
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            _logger.error("the live view did not end in order, and was killed")
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
