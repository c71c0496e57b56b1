"""The process of the live view: the orchestrator starts it, and it ends with the pipe to it."""

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack

from orchestrator.events import EventBus, Status
from orchestrator.live.metrics_page import MetricsPage
from orchestrator.live.view import LiveView
from orchestrator.live.wire import MessageReader
from orchestrator.records import TickRecord
from orchestrator.settings import OrchestratorSettings
from tradewind.errors import TradewindError
from tradewind.logs import set_up_logging
from tradewind.tracing import tracing

_NICENESS = 10
_BUFFER_BYTES = 1 << 20


def main() -> int:
    """Serves until the orchestrator is gone.

    Returns:
        0 when it ended in order, 1 when it could not serve.
    """
    # A signal for all of a terminal is the orchestrator's: browsers are to have its last word.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICENESS)  # where cores are scarce, trading has them
    return asyncio.run(_serve())


async def _serve() -> int:
    messages = await _open_pipe()
    settings = await messages.read()
    if not isinstance(settings, OrchestratorSettings):
        return 1
    set_up_logging(settings.logging, "orchestrator", account=settings.account)
    bus = EventBus()
    async with AsyncExitStack() as stack:
        said = {"url": "", "metrics": ""}
        try:
            if settings.live is not None:
                tracer = stack.enter_context(tracing(settings.tracing, "orchestrator"))
                view = LiveView(settings, settings.live, bus, tracer)
                said["url"] = (await stack.enter_async_context(view)).url
            if settings.metrics_listen:
                page = MetricsPage(settings.metrics_listen, bus)
                said["metrics"] = (await stack.enter_async_context(page)).address
        except TradewindError as problem:
            _say({"error": str(problem)})
            return 1
        _say(said)
        while (message := await messages.read()) is not None:
            if isinstance(message, TickRecord):
                bus.publish(message)
            elif isinstance(message, Status):
                bus.restore(message)
    return 0


async def _open_pipe() -> MessageReader:
    stream = asyncio.StreamReader(limit=_BUFFER_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), sys.stdin.buffer
    )
    return MessageReader(stream)


def _say(document: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
