"""Order statistics of a window, from its largest elements alone."""

from math import floor, inf
from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.sums import absolute_total
from tradewind.risk.inputs import FloatArray

__all__ = ["find_largest", "find_largest_losses", "tail_size", "upper_quantile"]

CONFIDENCES: Final = (0.95, 0.99, 0.999)
MIN_RETURNS: Final = (20, 100, 1_000)
"""Elements that a tail of each confidence needs to hold one of them: 1 / (1 − confidence)."""
CHUNK: Final = 64


@compiled
def tail_size(count: int, confidence: float) -> int:
    """How many of the largest of `count` elements the quantile at `confidence` looks at."""
    return count - floor((count - 1) * confidence)


@compiled
def find_largest(tail: FloatArray, values: FloatArray, guess: float) -> None:
    """Fills the tail with the largest elements in descending order.

    Args:
        tail: Shape [at least 1].
        values: Shape [at least that of the tail].
        guess: A number that so many elements are likely to be above of; a bad one costs time.
    """
    tail[:] = -inf
    _keep_largest(tail, values, guess)
    if tail[tail.size - 1] == -inf:
        tail[:] = -inf
        _keep_largest(tail, values, -inf)


@compiled
def _keep_largest(tail: FloatArray, values: FloatArray, floor: float) -> None:
    """Fills the tail with the largest elements above the floor, by insertion.

    A chunk with none of them costs a comparison an element, many at a time.
    """
    smallest = floor
    chunked = values.size - values.size % CHUNK
    for start in range(0, chunked, CHUNK):
        larger = 0
        for offset in range(CHUNK):
            larger += values[start + offset] > smallest
        if larger > 0:
            smallest = _insert(tail, values[start : start + CHUNK], smallest)
    _insert(tail, values[chunked:], smallest)


@compiled
def _insert(tail: FloatArray, values: FloatArray, smallest: float) -> float:
    """Inserts what is larger than `smallest`; returns what further elements must be larger than."""
    last = tail.size - 1
    for index in range(values.size):
        value = values[index]
        if value > smallest:
            slot = last
            while slot > 0 and tail[slot - 1] < value:
                tail[slot] = tail[slot - 1]
                slot -= 1
            tail[slot] = value
            smallest = max(smallest, tail[last])
    return smallest


@compiled
def find_largest_losses(returns: FloatArray, window: int, workspace: FloatArray) -> int:
    """The losses of the trailing window that any confidence looks at, in descending order.

    Args:
        returns: The window's, or more.
        window: Returns looked back over.
        workspace: Begins with those losses afterwards. Shape [at least 2 × window].

    Returns:
        How many these are; 0 if no return is in the window.
    """
    count = min(window, returns.size)
    if count == 0:
        return 0
    size = tail_size(count, CONFIDENCES[0])
    losses = workspace[size : size + count]
    latest = returns[returns.size - count :]
    for index in range(count):
        # 0 − r, not −r: returns of 0.0 and −0.0 are the same loss to the last bit.
        losses[index] = 0.0 - latest[index]
    # About a tenth of a normal or Laplace distribution is above, and the tail is half of that.
    guess = 1.6 * absolute_total(losses) / count
    find_largest(workspace[:size], losses, guess)
    return size


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
