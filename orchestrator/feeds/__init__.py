"""Where bars come from, and the guard in front of everything that uses them."""

from orchestrator.feeds.feed import Feed, FeedBar, FeedFault, FormingBar
from orchestrator.feeds.guard import BarFault, BarFlag, BarGuard, BarGuardSettings
from orchestrator.feeds.replay import ReplayFeed
from orchestrator.feeds.ticks import Tick, read_ticks
from orchestrator.feeds.websocket import WebSocketFeed

__all__ = [
    "BarFault",
    "BarFlag",
    "BarGuard",
    "BarGuardSettings",
    "Feed",
    "FeedBar",
    "FeedFault",
    "FormingBar",
    "ReplayFeed",
    "Tick",
    "WebSocketFeed",
    "read_ticks",
]
