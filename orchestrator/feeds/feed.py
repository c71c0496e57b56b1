"""What a feed is: closed bars as they arrive."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from tradewind.market import Bar

__all__ = ["Feed", "FeedBar", "FeedFault", "FormingBar"]


@dataclass(frozen=True, slots=True)
class FeedBar:
    """A closed bar of a symbol; nothing in it has been checked.

    Attributes:
        symbol: What is traded.
        bar: The bar.
        arrived_ns: The feed's clock when it arrived, nanoseconds since the epoch: the machine's
            for a live feed, market time for a replay.
        says_closed: The sender said that it has closed. Else one that arrives before its close, as
            far as the clocks agree, may still be forming.
        interval_ns: Length of the bar, where the sender said it.
    """

    symbol: str
    bar: Bar
    arrived_ns: int
    says_closed: bool = False
    interval_ns: int | None = None


@dataclass(frozen=True, slots=True)
class FormingBar:
    """A bar that its sender says has not closed yet: nothing is learned from it.

    Attributes:
        symbol: What is traded.
        start_ns: When it began, nanoseconds since the epoch.
        arrived_ns: The feed's clock when it arrived.
    """

    symbol: str
    start_ns: int
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class FeedFault:
    """Something arrived that is no bar.

    Attributes:
        detail: What it was, for people.
        arrived_ns: The feed's clock when it arrived.
    """

    detail: str
    arrived_ns: int


class Feed(Protocol):
    """Bars in the order of their arrival; ends when there will be no more."""

    def __aiter__(self) -> AsyncIterator[FeedBar | FeedFault]:
        """Begins to receive."""
        ...
