"""The last row of a file may be of a bar that had not closed when the file was written."""

import logging
from pathlib import Path
from typing import Final

import numpy as np

from tradewind.errors import MarketDataError
from tradewind.market.bars import Bars, format_time

__all__ = ["without_forming_bar"]

_logger = logging.getLogger(__name__)

_LONGEST_DAILY_NS: Final = 129_600 * 1_000_000_000
"""Bars of more than a day and a half are of several days."""


def without_forming_bar(bars: Bars, path: Path) -> Bars:
    """Leaves the last bar out if the file was written before it had closed, and says so.

    Downloads from exchanges end with the candle of now, whose close is none. The last bar of a
    session is over when that is: a day's bar, and the half hour after 15:30 of hours that begin at
    9:30. A copy that was made later does not tell.

    Args:
        bars: What is in the file.
        path: The file, which says when it was written.
    """
    written_ns = path.stat().st_mtime_ns
    start_ns, close_ns = int(bars.timestamps_ns[-1]), int(bars.close_times_ns[-1])
    if len(bars) < 2 or not start_ns <= written_ns < close_ns or _is_closed(bars, written_ns):
        return bars
    _logger.warning(
        "%s: its last bar began at %s and was still forming when the file was written at %s: it is "
        "left out",
        path,
        format_time(start_ns),
        format_time(written_ns),
    )
    return bars.slice(0, len(bars) - 1)


def _is_closed(bars: Bars, at_ns: int) -> bool:
    """Whether the session of the last bar had closed."""
    if bars.interval_ns > _LONGEST_DAILY_NS:
        return False
    try:
        sessions = bars.market.sessions
    except (MarketDataError, ImportError):
        return False
    if sessions is None:
        return False
    day = int(np.searchsorted(sessions.closes_ns, int(bars.timestamps_ns[-1]), side="right"))
    return day < sessions.closes_ns.size and at_ns >= sessions.closes_ns[day]
