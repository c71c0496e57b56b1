"""Average daily volume: what adv_participation measures positions against."""

from math import nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradewind.compiled import compiled
from tradewind.market.bars import Bars, FloatArray

__all__ = ["average_daily_volume", "average_daily_volumes"]

_DAYS: Final = 7
_WINDOW_NS: Final = _DAYS * 86_400 * 1_000_000_000


@compiled
def average_daily_volume(
    timestamps_ns: NDArray[np.int64], volumes: FloatArray, last: int, interval_ns: int
) -> float:
    """Volume a day over the seven days up to the close of a bar.

    A sum over those days alone, oldest first, so that it does not matter where the bars begin.

    Args:
        timestamps_ns: Starts of the bars, increasing. Shape [n].
        volumes: Volume of each bar. Shape [n].
        last: The bar.
        interval_ns: Length of a bar.

    Returns:
        Units of the asset a day; NaN where the bars do not go back seven days.
    """
    first_start = timestamps_ns[last] + interval_ns - _WINDOW_NS
    if first_start < timestamps_ns[0]:
        return nan
    first = last
    while first > 0 and timestamps_ns[first - 1] >= first_start:
        first -= 1
    total = 0.0
    for index in range(first, last + 1):
        total += volumes[index]
    return total / _DAYS


def average_daily_volumes(bars: Bars) -> FloatArray:
    """`average_daily_volume` at every bar. Shape [n]."""
    volumes: FloatArray = np.empty(len(bars), dtype=np.float64)
    _write_all(bars.timestamps_ns, bars.volume, bars.interval_ns, volumes)
    return volumes


@compiled
def _write_all(
    timestamps_ns: NDArray[np.int64], volumes: FloatArray, interval_ns: int, out: FloatArray
) -> None:
    for index in range(out.size):
        out[index] = average_daily_volume(timestamps_ns, volumes, index, interval_ns)
