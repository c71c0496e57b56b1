"""Average daily volume: what adv_participation measures positions against."""

from math import nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewind.kernels.compiled import compiled
from tradewind.market.bars import Bars, FloatArray

__all__ = ["average_daily_volume", "average_daily_volumes", "daily_averages"]

_DAYS: Final = 7
_WINDOW_NS: Final = _DAYS * 86_400 * 1_000_000_000


@compiled
def average_daily_volume(
    timestamps_ns: NDArray[np.int64],
    volumes: FloatArray,
    last: int,
    interval_ns: int,
    session_opens_ns: NDArray[np.int64],
    session_closes_ns: NDArray[np.int64],
) -> float:
    """Volume a trading day over the seven days up to the close of a bar.

    A sum over those days alone, oldest first, so that it does not matter where the bars begin. It
    is divided by the sessions of the market within them, parts of one counted as such: five in a
    usual week, four in one with a holiday.

    Args:
        timestamps_ns: Starts of the bars, increasing. Shape [n].
        volumes: Volume of each bar. Shape [n].
        last: The bar.
        interval_ns: Length of a bar.
        session_opens_ns: When the sessions of the market open, increasing (see
            `Market.session_hours_ns`); none where it never closes. Shape [m].
        session_closes_ns: When they close. Shape [m].

    Returns:
        Units of the asset a trading day; NaN where the bars do not go back seven days, or there
        was no session.
    """
    end = timestamps_ns[last] + interval_ns
    first_start = end - _WINDOW_NS
    if first_start < timestamps_ns[0]:
        return nan
    days = float(_DAYS)
    if session_opens_ns.size > 0:
        days = _sessions_within(session_opens_ns, session_closes_ns, first_start, end)
        if days == 0.0:
            return nan
    first = last
    while first > 0 and timestamps_ns[first - 1] >= first_start:
        first -= 1
    total = 0.0
    for index in range(first, last + 1):
        total += volumes[index]
    return total / days


@compiled
def _sessions_within(
    opens_ns: NDArray[np.int64], closes_ns: NDArray[np.int64], start: int, end: int
) -> float:
    """How many sessions there are between two times."""
    low, high = 0, closes_ns.size
    while low < high:
        middle = (low + high) // 2
        if closes_ns[middle] <= start:
            low = middle + 1
        else:
            high = middle
    count = 0.0
    while low < opens_ns.size and opens_ns[low] < end:
        part = min(closes_ns[low], end) - max(opens_ns[low], start)
        count += part / (closes_ns[low] - opens_ns[low])
        low += 1
    return count


def average_daily_volumes(bars: Bars) -> FloatArray:
    """`average_daily_volume` at every bar. Shape [n]."""
    return daily_averages(bars, bars.volume)


def daily_averages(bars: Bars, values: FloatArray) -> FloatArray:
    """What `average_daily_volume` is of volumes, of any values of the bars. Shapes [n]."""
    averages: FloatArray = np.empty(len(bars), dtype=np.float64)
    hours = bars.market.session_hours_ns
    _write_all(bars.timestamps_ns, values, bars.interval_ns, *hours, averages)
    return averages


@compiled
def _write_all(
    timestamps_ns: NDArray[np.int64],
    volumes: FloatArray,
    interval_ns: int,
    session_opens_ns: NDArray[np.int64],
    session_closes_ns: NDArray[np.int64],
    out: FloatArray,
) -> None:
    for index in range(out.size):
        out[index] = average_daily_volume(
            timestamps_ns, volumes, index, interval_ns, session_opens_ns, session_closes_ns
        )
