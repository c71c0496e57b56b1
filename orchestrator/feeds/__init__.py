"""Where bars come from, and the guard in front of everything that uses them."""

from orchestrator.feeds.checked import believed
from orchestrator.feeds.feed import FEEDS, Feed, FeedBar, FeedFault, FormingBar, KnownTimes
from orchestrator.feeds.guard import BarFault, BarFlag, BarGuard, BarGuardSettings
from orchestrator.feeds.history import HistoryFeed
from orchestrator.feeds.kinds import FileFeedSettings, SampleFeedSettings, WebSocketFeedSettings
from orchestrator.feeds.ticks import Tick, read_ticks
from orchestrator.feeds.websocket import WebSocketFeed

__all__ = [
    "FEEDS",
    "BarFault",
    "BarFlag",
    "BarGuard",
    "BarGuardSettings",
    "Feed",
    "FeedBar",
    "FeedFault",
    "FileFeedSettings",
    "FormingBar",
    "HistoryFeed",
    "KnownTimes",
    "SampleFeedSettings",
    "Tick",
    "WebSocketFeed",
    "WebSocketFeedSettings",
    "believed",
    "read_ticks",
]
