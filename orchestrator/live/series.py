"""A curve over any number of ticks in bounded memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

__all__ = ["DownsampledSeries", "highest", "latest", "lowest"]

Value = float | None
Merge = Callable[[Value, Value], Value]


def latest(_: Value, after: Value) -> Value:
    """Of two neighbours the later one."""
    return after


def lowest(before: Value, after: Value) -> Value:
    """Of two neighbours the smaller one; an absent one does not count."""
    if before is None or after is None:
        return after if before is None else before
    return min(before, after)


def highest(before: Value, after: Value) -> Value:
    """Of two neighbours the larger one; an absent one does not count."""
    if before is None or after is None:
        return after if before is None else before
    return max(before, after)


class DownsampledSeries:
    """Columns with a value for each tick; when they are full, every two points become one.

    The last point always has what came last, and no extreme is lost where a column merges by
    `lowest` or `highest`.

    Args:
        merges: What becomes of two neighbours, by column.
        capacity: Most points, an even number.

    Attributes:
        stride: Ticks that a point stands for.
        columns: The points by column, oldest first; None where there was no value.
    """

    def __init__(self, merges: Mapping[str, Merge], capacity: int) -> None:
        if capacity < 2 or capacity % 2:
            raise ValueError(f"capacity must be even and at least 2: {capacity}")
        self._merges: Final = tuple(merges.values())
        self._capacity = capacity
        self._in_last = 0
        self.columns: dict[str, list[Value]] = {name: [] for name in merges}
        self._lists = tuple(self.columns.values())
        self.stride = 1

    def __len__(self) -> int:
        return len(self._lists[0])

    def append(self, values: Sequence[Value]) -> None:
        """Takes in a tick: a value for each column, in their order."""
        if len(self) and self._in_last < self.stride:
            for column, merge, value in zip(self._lists, self._merges, values, strict=True):
                column[-1] = merge(column[-1], value)
            self._in_last += 1
            return
        if len(self) == self._capacity:
            self._halve()
        for column, value in zip(self._lists, values, strict=True):
            column.append(value)
        self._in_last = 1

    def since(self, stride: int, start: int) -> tuple[int, dict[str, list[Value]]]:
        """Points from `start` on; all of them when `stride` is no longer that of the series.

        Returns:
            The index of the first of them, and the columns.
        """
        first = start if stride == self.stride else 0
        return first, {name: column[first:] for name, column in self.columns.items()}

    def _halve(self) -> None:
        for column, merge in zip(self._lists, self._merges, strict=True):
            column[:] = [merge(*pair) for pair in zip(column[::2], column[1::2], strict=True)]
        self.stride *= 2
