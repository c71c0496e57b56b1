"""A feed of one's own: the lines that another program appends to a file, one for each closed bar.

2024-01-02T09:30:00+00:00 BTC 100.0 101.0 99.5 100.5 12.0
"""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

from orchestrator import Bar, Feed, FeedBar, FeedFault, Mandate, Settings


class TailOptions(Settings):
    """What stands under `feed.options`."""

    path: Path
    """The file; it may come later."""

    poll_s: float = 0.5
    """How often to look for new lines."""

    ends_with: str = ""
    """A line that says that there will be no more; without, it goes on for ever."""


class TailFeed(Feed):
    """Reads what there is, and then what comes."""

    Options = TailOptions

    def __init__(self, options: TailOptions) -> None:
        super().__init__(options)
        self._options = options

    async def bars(self, mandate: Mandate) -> AsyncIterator[FeedBar | FeedFault]:
        """Bars after the last close that was traded on; a line that is none is a fault."""
        read = 0
        while True:
            # Reading blocks, and the loop trades: it is done in a thread.
            text = await asyncio.to_thread(self._read)
            whole, _, _ = text.rpartition("\n")  # the last line may still be written
            lines = whole.splitlines()
            for line in lines[read:]:
                if line == self._options.ends_with:
                    return
                item = parse(line)
                is_known = (
                    isinstance(item, FeedBar)
                    and mandate.after_ns is not None
                    and item.bar.timestamp_ns + mandate.interval_ns <= mandate.after_ns
                )
                if not is_known:
                    yield item
            read = max(read, len(lines))
            await asyncio.sleep(self._options.poll_s)

    def _read(self) -> str:
        return self._options.path.read_text() if self._options.path.exists() else ""


def parse(line: str) -> FeedBar | FeedFault:
    """One line."""
    now_ns = time.time_ns()
    try:
        start, symbol, *numbers = line.split()
        start_ns = round(datetime.fromisoformat(start).timestamp()) * 1_000_000_000
        open_, high, low, close, volume = map(float, numbers)
    except ValueError as problem:
        return FeedFault(f"{line!r} is no bar: {problem}", now_ns)
    bar = Bar(start_ns, open_, high, low, close, volume)
    return FeedBar(symbol, bar, arrived_ns=now_ns, says_closed=True)
