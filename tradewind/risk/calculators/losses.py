"""Order statistics of the losses in a window, shared by value at risk and expected shortfall."""

from math import floor
from typing import Final

import numpy as np

from tradewind.compiled import compiled
from tradewind.risk.inputs import FloatArray

__all__ = ["loss_quantile", "sorted_tail"]

CONFIDENCES: Final = (0.95, 0.99, 0.999)
MIN_RETURNS: Final = (20, 100, 1_000)
"""Returns that a tail of each confidence needs to hold one of them: 1 / (1 − confidence)."""


@compiled
def sorted_tail(returns: FloatArray) -> FloatArray:
    """The largest losses, in descending order: as many as the lowest confidence looks at.

    Keeps the largest seen so far by insertion: few returns belong to the tail, so nearly all of
    them cost one comparison. A return of −0.0 and one of 0.0 are the same loss, 0.0.
    """
    size = returns.size - floor((returns.size - 1) * CONFIDENCES[0])
    tail = np.empty(size)
    kept = 0
    for value in returns:
        loss = 0.0 - value
        if kept < size:
            kept += 1
        elif loss <= tail[size - 1]:
            continue
        slot = kept - 1
        while slot > 0 and tail[slot - 1] < loss:
            tail[slot] = tail[slot - 1]
            slot -= 1
        tail[slot] = loss
    return tail


@compiled
def loss_quantile(tail: FloatArray, count: int, confidence: float) -> float:
    """Quantile of all `count` losses, linear between order statistics (Hyndman and Fan, type 7)."""
    position = (count - 1) * confidence
    below = floor(position)
    low: float = tail[count - 1 - below]
    high: float = tail[max(count - 2 - below, 0)]
    return low + (position - below) * (high - low)
