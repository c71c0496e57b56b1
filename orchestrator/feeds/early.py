"""Bars that arrive shortly before they close wait until nothing newer can come for their time."""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.feeds.feed import FeedBar

__all__ = ["WaitingRoom"]


@dataclass(frozen=True, slots=True)
class _Waiting:
    item: FeedBar
    until: float


class WaitingRoom:
    """Keeps at most one bar of a symbol, the latest word on its time.

    A feed that does not say whether a bar has closed sends the same one again and again while it
    forms, or its clock is ahead of ours. Nobody can tell which before the bar has closed by both.

    Args:
        early_ns: How long before its close a bar arrived.
        skew_s: How far the clocks may be apart.

    Attributes:
        waiting: Who waits here, by symbol.
    """

    def __init__(self, early_ns: Callable[[FeedBar], int], skew_s: float) -> None:
        self._early_ns = early_ns
        self._skew_ns = round(skew_s * 1e9)
        self.waiting: dict[str, _Waiting] = {}

    def may_form(self, item: FeedBar) -> bool:
        """Whether a bar arrived before its close, by no more than clocks may differ."""
        return not item.says_closed and 0 < self._early_ns(item) <= self._skew_ns

    def keep(self, item: FeedBar, now: float) -> None:
        """Lets a bar wait until it has closed by either clock.

        Args:
            item: The bar; no other one of its symbol is here.
            now: The loop's clock, seconds.
        """
        wait_ns = self._early_ns(item) + self._skew_ns
        self.waiting[item.symbol] = _Waiting(item, now + wait_ns * 1e-9)

    def find(self, symbol: str) -> FeedBar | None:
        """The bar of a symbol that waits here."""
        waiting = self.waiting.get(symbol)
        return None if waiting is None else waiting.item

    def remove(self, symbol: str) -> None:
        """Lets go of the bar of a symbol that waits here."""
        del self.waiting[symbol]

    def take_due(self, now: float) -> list[FeedBar]:
        """Bars that have waited long enough, those that close first before the others."""
        return self._take([name for name, it in self.waiting.items() if it.until <= now])

    def take_older(self, start_ns: int) -> list[FeedBar]:
        """Bars that start at a time or before, however long they have waited."""
        waiting = self.waiting.items()
        return self._take([name for name, it in waiting if it.item.bar.timestamp_ns <= start_ns])

    def take_all(self) -> list[FeedBar]:
        """Every bar, those that close first before the others."""
        return self._take(list(self.waiting))

    @property
    def due(self) -> float | None:
        """When the next of them has waited long enough, on the loop's clock."""
        if not self.waiting:
            return None
        return min(waiting.until for waiting in self.waiting.values())

    def _take(self, names: list[str]) -> list[FeedBar]:
        taken = [self.waiting.pop(name).item for name in names]
        return sorted(taken, key=lambda item: item.bar.timestamp_ns)
