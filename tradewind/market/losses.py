"""What a panel loses of its symbols' bars, in words: a short series cuts all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tradewind.market.bars import Bars, format_time

__all__ = ["Losses", "losses_of"]

_MANY_BELOW = 0.95


@dataclass(frozen=True, slots=True)
class Losses:
    """What an alignment of several series left out.

    Attributes:
        lines: One sentence for each thing that was lost, by whom; empty where nothing was.
        is_large: Whether some symbol keeps less than 95 % of its bars.
    """

    lines: tuple[str, ...]
    is_large: bool


def losses_of(series: Sequence[Bars], shared: NDArray[np.int64]) -> Losses:
    """Says what is lost where only bars that all symbols have are kept.

    Args:
        series: The bars of each symbol.
        shared: The times that all have; at least one. Shape [n].
    """
    if all(len(bars) == len(shared) for bars in series):
        return Losses((), is_large=False)
    lines = [*_ends(series), *_holes(series)]
    kept = ", ".join(f"{bars.symbol} {len(shared):,} of {len(bars):,}" for bars in series)
    lines.append(f"kept: {kept} bars, {format_time(shared[0])} to {format_time(shared[-1])}")
    return Losses(tuple(lines), any(len(shared) < _MANY_BELOW * len(bars) for bars in series))


def _ends(series: Sequence[Bars]) -> list[str]:
    lines = []
    latest = max(series, key=lambda bars: int(bars.timestamps_ns[0]))
    start = latest.timestamps_ns[0]
    before = {bars.symbol: int(np.searchsorted(bars.timestamps_ns, start)) for bars in series}
    if any(before.values()):
        lines.append(
            f"{latest.symbol} begins at {format_time(start)} and cuts off what is before it: "
            f"{_counted(before)}"
        )
    earliest = min(series, key=lambda bars: int(bars.timestamps_ns[-1]))
    end = earliest.timestamps_ns[-1]
    after = {
        bars.symbol: len(bars) - int(np.searchsorted(bars.timestamps_ns, end, side="right"))
        for bars in series
    }
    if any(after.values()):
        lines.append(
            f"{earliest.symbol} ends at {format_time(end)} and cuts off what is after it: "
            f"{_counted(after)}"
        )
    return lines


def _holes(series: Sequence[Bars]) -> list[str]:
    """Between the ends: which symbol lacks bars that another one has."""
    start = max(bars.timestamps_ns[0] for bars in series)
    end = min(bars.timestamps_ns[-1] for bars in series)
    within = [
        bars.timestamps_ns[(bars.timestamps_ns >= start) & (bars.timestamps_ns <= end)]
        for bars in series
    ]
    every = np.unique(np.concatenate(within))
    lines = []
    for bars, times in zip(series, within, strict=True):
        if times.size < every.size:
            missing = np.setdiff1d(every, times, assume_unique=True)
            lines.append(
                f"{bars.symbol} lacks {missing.size:,} bar(s) in between that another has, the "
                f"first of {format_time(missing[0])}"
            )
    return lines


def _counted(lost: dict[str, int]) -> str:
    return ", ".join(f"{count:,} of {symbol}" for symbol, count in lost.items() if count)
