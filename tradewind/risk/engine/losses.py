"""The losses of a trailing window, kept in descending order from bar to bar.

What a tail looks at is the same whichever way it was found, so a tracker may keep the window in
order, which costs a search and a move, where whole arrays have to be searched for it.
"""

from math import isfinite
from typing import Final

from tradewind.compiled import compiled
from tradewind.risk.engine.account import Record
from tradewind.risk.inputs import FloatArray

__all__ = ["NOT_SORTED", "keep_losses_sorted"]

NOT_SORTED: Final = -1


@compiled
def keep_losses_sorted(account: Record, returns: FloatArray, losses: FloatArray) -> None:
    """Brings the sorted losses up to date with one more return.

    Several at once leave them unsorted: who sends many gains nothing from an order that the next
    update would have to restore.

    Args:
        account: The account; `sorted_losses` says how many are in order, or NOT_SORTED.
        returns: The latest returns, one more than the window if there are so many.
        losses: −r of the last returns, largest first. Shape [window].
    """
    new = account.return_count - account.losses_sorted_until
    if new == 0 or losses.size == 0:
        return
    account.losses_sorted_until = account.return_count
    before = min(account.return_count - new, losses.size)
    # 0 − r, not −r: returns of 0.0 and −0.0 are the same loss to the last bit.
    loss = 0.0 - returns[returns.size - 1]
    if new > 1 or not isfinite(loss):
        account.sorted_losses = NOT_SORTED
    elif account.sorted_losses != before:
        account.sorted_losses = _sort(returns, losses)
    elif before < losses.size:
        _insert(losses[: before + 1], loss)
        account.sorted_losses = before + 1
    else:
        _replace(losses, 0.0 - returns[returns.size - 1 - losses.size], loss)


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
def _insert(losses: FloatArray, loss: float) -> None:
    """Puts a loss among sorted ones; the last element is free."""
    last = losses.size - 1
    place = _place(losses[:last], loss)
    for index in range(last, place, -1):
        losses[index] = losses[index - 1]
    losses[place] = loss


@compiled
def _replace(losses: FloatArray, old: float, new: float) -> None:
    """Takes one of the sorted losses out and puts another in; moves only what lies between."""
    out, place = _place(losses, old), _place(losses, new)
    if place <= out:
        for index in range(out, place, -1):
            losses[index] = losses[index - 1]
        losses[place] = new
    else:
        for index in range(out, place - 1):
            losses[index] = losses[index + 1]
        losses[place - 1] = new


@compiled
def _sort(returns: FloatArray, losses: FloatArray) -> int:
    """Sorts the losses of the window; returns how many, NOT_SORTED if one is not finite."""
    count = min(losses.size, returns.size)
    start = returns.size - count
    for index in range(count):
        loss = 0.0 - returns[start + index]
        if not isfinite(loss):
            return NOT_SORTED
        losses[index] = loss
    # Heapsort, in place: the smallest goes to the end.
    for root in range(count // 2 - 1, -1, -1):
        _sift_down(losses, root, count)
    for end in range(count - 1, 0, -1):
        losses[0], losses[end] = losses[end], losses[0]
        _sift_down(losses, 0, end)
    return count


@compiled
def _sift_down(losses: FloatArray, root: int, end: int) -> None:
    """Restores a heap with the smallest on top below one of its places."""
    while 2 * root + 1 < end:
        child = 2 * root + 1
        if child + 1 < end and losses[child + 1] < losses[child]:
            child += 1
        if losses[root] <= losses[child]:
            return
        losses[root], losses[child] = losses[child], losses[root]
        root = child
