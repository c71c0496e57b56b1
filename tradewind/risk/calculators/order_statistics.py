"""Order statistics of a window, from its largest elements alone."""

from math import floor
from typing import Final

import numpy as np

from tradewind.compiled import compiled
from tradewind.risk.inputs import FloatArray

__all__ = ["largest", "tail_size", "upper_quantile"]

CONFIDENCES: Final = (0.95, 0.99, 0.999)
MIN_RETURNS: Final = (20, 100, 1_000)
"""Elements that a tail of each confidence needs to hold one of them: 1 / (1 − confidence)."""


@compiled
def losses_of(returns: FloatArray) -> FloatArray:
    """Returns as losses; one of −0.0 and one of 0.0 are the same loss, 0.0."""
    losses = np.empty(returns.size)
    for index in range(returns.size):
        losses[index] = 0.0 - returns[index]
    return losses


@compiled
def tail_size(count: int, confidence: float) -> int:
    """How many of the largest of `count` elements the quantile at `confidence` looks at."""
    return count - floor((count - 1) * confidence)


@compiled
def largest(values: FloatArray, size: int) -> FloatArray:
    """The `size` largest elements in descending order.

    Keeps the largest seen so far by insertion: few elements belong to a tail, so nearly all of
    them cost one comparison.
    """
    tail = np.empty(size)
    kept = 0
    for value in values:
        if kept < size:
            kept += 1
        elif value <= tail[size - 1]:
            continue
        slot = kept - 1
        while slot > 0 and tail[slot - 1] < value:
            tail[slot] = tail[slot - 1]
            slot -= 1
        tail[slot] = value
    return tail


@compiled
def upper_quantile(tail: FloatArray, count: int, confidence: float) -> float:
    """Quantile of all `count` elements, linear between order statistics.

    Source: R. Hyndman, Y. Fan, "Sample Quantiles in Statistical Packages", Am. Statistician 50
    (1996), type 7.
    """
    position = (count - 1) * confidence
    below = floor(position)
    low: float = tail[count - 1 - below]
    high: float = tail[max(count - 2 - below, 0)]
    return low + (position - below) * (high - low)
