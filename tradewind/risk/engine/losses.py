"""The largest losses of a trailing window, kept in descending order from bar to bar.

What a tail looks at is the same whichever way it was found, so a tracker may keep it in order,
which costs a comparison at most bars, where whole arrays have to be searched for it. About twice as
many losses are kept as any confidence looks at: of those that leave the window few are among them,
and only when too few are left the window is searched anew.
"""

from math import inf, isfinite
from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.order_statistics import CONFIDENCES, tail_size
from tradewind.risk.engine.account import Record
from tradewind.risk.inputs import FloatArray

__all__ = ["NOT_SORTED", "keep_losses_sorted", "kept_losses"]

NOT_SORTED: Final = -1


def kept_losses(window: int) -> int:
    """How many losses of a window are kept in order."""
    return min(window, 2 * tail_size(window, CONFIDENCES[0]))


@compiled
def keep_losses_sorted(
    account: Record, window: int, returns: FloatArray, losses: FloatArray
) -> None:
    """Brings the sorted losses up to date with one more return.

    Several at once leave them unsorted: who sends many gains nothing from an order that the next
    update would have to restore.

    Args:
        account: The account; `sorted_losses` says how many are in order, at least as many as any
            confidence looks at, or NOT_SORTED.
        window: Returns looked back over.
        returns: The latest returns, one more than the window if there are so many.
        losses: The largest −r of the window, in descending order. Shape [kept_losses(window)].
    """
    new = account.return_count - account.losses_sorted_until
    if new == 0 or losses.size == 0:
        return
    account.losses_sorted_until = account.return_count
    # 0 − r, not −r: returns of 0.0 and −0.0 are the same loss to the last bit.
    loss = 0.0 - returns[returns.size - 1]
    if new > 1 or not isfinite(loss):
        account.sorted_losses = NOT_SORTED
        return
    kept, before = account.sorted_losses, min(account.return_count - 1, window)
    if kept >= 0:
        # As long as all of the window is kept, nothing else can come between.
        has_all = kept == before
        if before == window:
            kept = _remove(losses, kept, 0.0 - returns[returns.size - 1 - window])
        kept = _insert(losses, kept, loss, has_all)
    count = min(account.return_count, window)
    if kept < tail_size(count, CONFIDENCES[0]):
        kept = _search(returns[returns.size - count :], losses)
    account.sorted_losses = kept


@compiled
def _place(losses: FloatArray, loss: float) -> int:
    """Index of the first that is not larger."""
    low, high = 0, losses.size
    while low < high:
        middle = (low + high) // 2
        if losses[middle] > loss:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _remove(losses: FloatArray, kept: int, loss: float) -> int:
    """Takes out a loss that leaves the window, if it was kept; returns how many are left."""
    if kept == 0 or loss < losses[kept - 1]:
        return kept
    for index in range(_place(losses[:kept], loss), kept - 1):
        losses[index] = losses[index + 1]
    return kept - 1


@compiled
def _insert(losses: FloatArray, kept: int, loss: float, has_all: bool) -> int:
    """Puts a loss among the kept ones, if it belongs there; returns how many there are.

    Args:
        losses: Shape [most that are kept].
        kept: How many are.
        loss: The new one.
        has_all: Whether every loss of the window was kept: then the smallest may follow too.
    """
    is_smallest = kept == 0 or loss <= losses[kept - 1]
    if is_smallest and (not has_all or kept == losses.size):
        return kept
    last = min(kept, losses.size - 1)
    place = last if is_smallest else _place(losses[:kept], loss)
    for index in range(last, place, -1):
        losses[index] = losses[index - 1]
    losses[place] = loss
    return last + 1


@compiled
def _search(returns: FloatArray, losses: FloatArray) -> int:
    """Finds the largest losses of a window; returns how many, NOT_SORTED if one is not finite."""
    kept = 0
    smallest = -inf
    for index in range(returns.size):
        loss = 0.0 - returns[index]
        if not isfinite(loss):
            return NOT_SORTED
        if kept < losses.size or loss > smallest:
            kept = _insert(losses, kept, loss, True)
            smallest = losses[kept - 1]
    return kept
