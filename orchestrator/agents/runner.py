"""Builds the agent that the settings describe."""

from collections.abc import AsyncIterable

import numpy as np

from orchestrator.agents import OrchestratorAgent
from orchestrator.brokers import BROKERS, Broker
from orchestrator.events import EventBus
from orchestrator.feeds import FEEDS, Feed, FeedBar, FeedFault, KnownTimes
from orchestrator.mandate import Mandate
from orchestrator.markets import Markets
from orchestrator.settings import OrchestratorSettings
from tradewind.part_options import open_part
from tradewind.tracing import Tracer

__all__ = ["build_agent"]


def build_agent(
    settings: OrchestratorSettings, bus: EventBus | None = None, tracer: Tracer | None = None
) -> OrchestratorAgent:
    """The agent with the feed and the broker of its settings.

    Raises:
        ComponentError: The feed cannot be made.
    """
    feed: Feed = open_part(FEEDS, settings.feed, "feed")

    def mandate(markets: Markets | None = None, after_ns: int | None = None) -> Mandate:
        return Mandate(
            settings.symbols,
            settings.interval_ns,
            settings.account,
            sum(allocation.cash for allocation in settings.allocations),
            settings.folder,
            markets,
            after_ns,
        )

    def open_feed(after_ns: int | None, markets: Markets) -> AsyncIterable[FeedBar | FeedFault]:
        return feed.bars(mandate(markets, after_ns))

    def open_broker(markets: Markets) -> Broker:
        broker: Broker = open_part(BROKERS, settings.broker, "broker", mandate(markets))
        return broker

    def known_times() -> KnownTimes:
        said = feed.known_times(mandate())
        return {symbol: np.unique(np.asarray(said[symbol], dtype=np.int64)) for symbol in said}

    return OrchestratorAgent(settings, open_feed, open_broker, bus, tracer, known_times)
