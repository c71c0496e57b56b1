"""Bars too far from the last close to be believed: the rule of production and of training."""

import math
import warnings
from typing import Final

import numpy as np

from tradewind.market.bars import Bars, TimestampArray, format_time

__all__ = ["MAX_JUMP", "JumpWarning", "find_jumps", "is_jump", "warn_of_jumps"]

MAX_JUMP: Final = 0.5
"""By default, the largest absolute log return from the last close to an open or a close.

A split of 2:1 is one of 0.69; the half hour in which XRP fell most, in 2017, one of 0.47.
"""

_SHOWN_ROWS: Final = 3


class JumpWarning(UserWarning):
    """Bars that production would refuse."""


def is_jump(last_close: float, open_price: float, close: float, max_jump: float) -> bool:
    """Whether a bar opens or closes too far from the close before it.

    Args:
        last_close: Close of the bar before it.
        open_price: Its open.
        close: Its close.
        max_jump: Largest absolute log return from the one to either of the others.
    """
    at_open, at_close = math.log(open_price / last_close), math.log(close / last_close)
    return abs(at_open) > max_jump or abs(at_close) > max_jump


def find_jumps(bars: Bars, max_jump: float = MAX_JUMP) -> TimestampArray:
    """Indices of the bars that `is_jump` says so of, each beside the bar before it. Shape [k]."""
    before = np.log(bars.close[:-1])
    farthest = np.maximum(
        np.abs(np.log(bars.open[1:]) - before), np.abs(np.log(bars.close[1:]) - before)
    )
    # The differences of logarithms find candidates; the rule itself decides.
    candidates = np.flatnonzero(farthest > max_jump - 1e-9) + 1
    return np.array(
        [
            at
            for at in candidates.tolist()
            if is_jump(
                float(bars.close[at - 1]), float(bars.open[at]), float(bars.close[at]), max_jump
            )
        ],
        dtype=np.int64,
    )


def warn_of_jumps(bars: Bars, max_jump: float = MAX_JUMP, *, stacklevel: int = 2) -> None:
    """Warns of the bars that production would refuse, naming the first rows.

    Args:
        bars: What is to be learnt from or traded.
        max_jump: As `is_jump` says.
        stacklevel: Whom the warning is to name, as `warnings.warn` counts.
    """
    found = find_jumps(bars, max_jump)
    if not found.size:
        return
    rows = "; ".join(_describe(bars, int(at)) for at in found[:_SHOWN_ROWS])
    more = f" and {found.size - _SHOWN_ROWS} more" if found.size > _SHOWN_ROWS else ""
    warnings.warn(
        f"{bars.symbol}: {found.size} bar(s) jump by more than max_jump {max_jump:g} (log return): "
        f"{rows}{more}. Production refuses such bars (JUMP), the account books them as gain or "
        "loss. Adjust the prices for splits, take the bars out, or raise max_jump if they are real",
        JumpWarning,
        stacklevel=stacklevel + 1,
    )


def _describe(bars: Bars, at: int) -> str:
    return (
        f"row {at + 1} ({format_time(bars.timestamps_ns[at])}) goes from a close of "
        f"{bars.close[at - 1]:g} to {bars.open[at]:g} and {bars.close[at]:g}"
    )
