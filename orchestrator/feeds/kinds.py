"""The feeds that come with Tradewind, by their `kind` in the settings."""

import logging
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from orchestrator.feeds.feed import Feed, FeedBar, FeedFault, KnownTimes
from orchestrator.feeds.history import HistoryFeed
from orchestrator.feeds.websocket import WebSocketFeed
from orchestrator.mandate import Mandate
from tradewind.errors import MarketDataError
from tradewind.market import Bars, load_bars, load_sample, split_bars
from tradewind.settings import Settings

__all__ = [
    "FileFeed",
    "FileFeedSettings",
    "LiveFeed",
    "SampleFeed",
    "SampleFeedSettings",
    "WebSocketFeedSettings",
]

_logger = logging.getLogger(__name__)


class SampleFeedSettings(Settings):
    """Replays the embedded sample."""

    kind: Literal["sample"] = "sample"
    """Chooses this feed."""

    held_out_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of the bars, the latest ones, that is replayed."""

    speed: float | None = Field(default=None, gt=0.0)
    """Times real time; null for as fast as it goes."""


class FileFeedSettings(Settings):
    """Replays CSV or Parquet files, one for each symbol."""

    kind: Literal["files"] = "files"
    """Chooses this feed."""

    files: dict[str, Path] = Field(min_length=1)
    """A file of bars for each symbol that is allocated."""

    speed: float | None = Field(default=None, gt=0.0)
    """Times real time; null for as fast as it goes."""


class WebSocketFeedSettings(Settings):
    """Receives live bars."""

    kind: Literal["websocket"] = "websocket"
    """Chooses this feed."""

    url: str = Field(pattern=r"^wss?://")
    """Where the bars come from, `ws://` or `wss://`."""

    silent_bars: int = Field(default=2, ge=1)
    """After so many bars that should have come and did not, a feed that is connected is asked
    anew; while the market is closed there are none."""


class SampleFeed(Feed):
    """The bars of the embedded sample that training holds out."""

    Options = SampleFeedSettings

    def known_times(self, mandate: Mandate) -> KnownTimes:
        """Those of the whole sample."""
        return {symbol: load_sample(symbol).timestamps_ns for symbol in mandate.symbols}

    def bars(self, mandate: Mandate) -> AsyncIterable[FeedBar | FeedFault]:
        """Replays them."""
        fraction = self.options.held_out_fraction
        series = [split_bars(load_sample(symbol), fraction)[1] for symbol in mandate.symbols]
        return _replay(series, self.options.speed, mandate)


class FileFeed(Feed):
    """The bars of files."""

    Options = FileFeedSettings

    def __init__(self, options: FileFeedSettings) -> None:
        super().__init__(options)
        self._series: list[Bars] = []

    def known_times(self, mandate: Mandate) -> KnownTimes:
        """Those of all files.

        Raises:
            MarketDataError: A file cannot be read.
        """
        files = self.options.files.items()
        self._series = [load_bars(path, symbol) for symbol, path in files]
        _check_length(self._series, mandate)
        without = [bars.symbol for bars in self._series if not bars.volume.any()]
        if without:
            _logger.warning(
                "no bar of %s has a volume: the paper broker fills nothing in such bars, unless "
                "broker.market.level_share is null",
                ", ".join(without),
            )
        return {bars.symbol: bars.timestamps_ns for bars in self._series}

    def bars(self, mandate: Mandate) -> AsyncIterable[FeedBar | FeedFault]:
        """Replays them."""
        if not self._series:
            self.known_times(mandate)
        return _replay(self._series, self.options.speed, mandate)


class LiveFeed(Feed):
    """Bars from a WebSocket; see WebSocketFeed."""

    Options = WebSocketFeedSettings

    def bars(self, mandate: Mandate) -> AsyncIterable[FeedBar | FeedFault]:
        """Subscribes to the symbols."""
        after_ns = mandate.after_ns
        return WebSocketFeed(
            self.options.url,
            mandate.symbols,
            after_ns=None if after_ns is None else after_ns - mandate.interval_ns,
            markets=mandate.markets,
            silent_bars=self.options.silent_bars,
        )


def _replay(
    series: list[Bars], speed: float | None, mandate: Mandate
) -> AsyncIterable[FeedBar | FeedFault]:
    _check_length(series, mandate)
    return HistoryFeed(series, speed=speed, after_ns=mandate.after_ns)


def _check_length(series: list[Bars], mandate: Mandate) -> None:
    for bars in series:
        if bars.interval_ns != mandate.interval_ns:
            raise MarketDataError(
                f"the bars of {bars.symbol} are {bars.interval_ns / 1e9:g} s long, the settings "
                f"say bar_seconds = {mandate.interval_ns / 1e9:g}"
            )
