"""Says so when something holds up the loop that trades."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

__all__ = ["watched_loop"]

_logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 0.25
_LONG_S: Final = 1.0


@asynccontextmanager
async def watched_loop(long_s: float = _LONG_S) -> AsyncIterator[None]:
    """Watches the loop inside the block: a tick that waits behind a call that blocks is late.

    Args:
        long_s: What is held up for longer is said.
    """

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(_LOOK_EVERY_S)
            late_s = loop.time() - before - _LOOK_EVERY_S
            if late_s > long_s:
                _logger.warning(
                    "trading was held up for %.1f s: by the machine, or by a broker or a feed that "
                    "blocks; what blocks belongs into asyncio.to_thread",
                    late_s,
                )

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
