"""What a feed is, closed bars as they arrive, and the door by which one comes in."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.mandate import Mandate
from tradewind.components import Door, a_class
from tradewind.market import Bar
from tradewind.settings import Settings

__all__ = ["FEEDS", "Feed", "FeedBar", "FeedFault", "FormingBar", "KnownTimes"]

KnownTimes = Mapping[str, NDArray[np.int64]]
"""Starts of bars of each symbol, increasing, nanoseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class FeedBar:
    """A closed bar of a symbol; nothing in it has been checked.

    Attributes:
        symbol: What is traded.
        bar: The bar.
        arrived_ns: The feed's clock when it arrived, nanoseconds since the epoch: the machine's
            for a live feed, market time for past bars.
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


class Feed(ABC):
    """Where the bars of an account come from; made of its options.

    Attributes:
        Options: What it can be set to, as the settings file has it under `feed.options`.
    """

    Options: ClassVar[type[Settings]] = Settings

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def bars(self, mandate: Mandate) -> AsyncIterable[FeedBar | FeedFault]:
        """Bars in the order of their arrival; ends when there will be no more.

        It runs on the loop that trades, and must not hold it up: what blocks belongs into
        `asyncio.to_thread`.

        Args:
            mandate: What is traded, and after which close to go on.
        """

    def known_times(self, mandate: Mandate) -> KnownTimes:  # noqa: ARG002 - for those who know
        """Bars that are known before the first one comes: what a market is recognised from."""
        return {}


FEEDS: Final[Door[type[Feed]]] = Door(
    "feed",
    a_class(Feed, "orchestrator.Feed"),  # type: ignore[type-abstract]  # subclasses are made
    own={
        "sample": "orchestrator.feeds.kinds:SampleFeed",
        "files": "orchestrator.feeds.kinds:FileFeed",
        "websocket": "orchestrator.feeds.kinds:LiveFeed",
    },
    group="tradewind.feeds",
)
