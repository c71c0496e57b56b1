"""Order statistics of a window, from its largest elements alone."""

from math import floor, inf
from typing import Final

import numpy as np

from tradewind.compiled import compiled
from tradewind.risk.inputs import FloatArray

__all__ = ["largest", "largest_losses", "tail_size", "upper_quantile"]

CONFIDENCES: Final = (0.95, 0.99, 0.999)
MIN_RETURNS: Final = (20, 100, 1_000)
"""Elements that a tail of each confidence needs to hold one of them: 1 / (1 − confidence)."""
CHUNK: Final = 64


@compiled
def tail_size(count: int, confidence: float) -> int:
    """How many of the largest of `count` elements the quantile at `confidence` looks at."""
    return count - floor((count - 1) * confidence)


@compiled
def largest(values: FloatArray, size: int) -> FloatArray:
    """The `size` largest elements in descending order.

    Keeps the largest seen so far by insertion. Few elements belong to a tail: a chunk without one
    that is larger than the smallest kept costs a comparison an element, many at a time.
    """
    tail = np.full(size, -inf)
    chunked = values.size - values.size % CHUNK
    for start in range(0, chunked, CHUNK):
        larger = 0
        for offset in range(CHUNK):
            larger += values[start + offset] > tail[size - 1]
        if larger > 0:
            _insert(tail, values[start : start + CHUNK])
    _insert(tail, values[chunked:])
    return tail


@compiled
def _insert(tail: FloatArray, values: FloatArray) -> None:
    last = tail.size - 1
    smallest = tail[last]
    for index in range(values.size):
        value = values[index]
        if value > smallest:
            slot = last
            while slot > 0 and tail[slot - 1] < value:
                tail[slot] = tail[slot - 1]
                slot -= 1
            tail[slot] = value
            smallest = tail[last]


@compiled
def largest_losses(returns: FloatArray, window: int) -> FloatArray:
    """The losses of the trailing window that any confidence looks at, in descending order.

    Empty if no return is in the window.
    """
    count = min(window, returns.size)
    if count == 0:
        return np.empty(0)
    losses = np.empty(count)
    latest = returns[returns.size - count :]
    for index in range(count):
        # 0 − r, not −r: returns of 0.0 and −0.0 are the same loss to the last bit.
        losses[index] = 0.0 - latest[index]
    return largest(losses, tail_size(count, CONFIDENCES[0]))


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
