"""Builds the agent that the settings describe."""

from orchestrator.agents import OrchestratorAgent
from orchestrator.brokers import Broker, PaperBroker
from orchestrator.events import EventBus
from orchestrator.feeds import Feed, ReplayFeed, WebSocketFeed
from orchestrator.settings import (
    FileFeedSettings,
    OrchestratorSettings,
    SampleFeedSettings,
)
from tradewind.market import Bars, load_bars, load_sample, split_bars
from tradewind.tracing import Tracer

__all__ = ["build_agent", "load_series"]


def build_agent(
    settings: OrchestratorSettings, bus: EventBus | None = None, tracer: Tracer | None = None
) -> OrchestratorAgent:
    """The agent with the feed and the broker of its settings."""

    def open_feed(after_ns: int | None) -> Feed:
        feed = settings.feed
        if isinstance(feed, SampleFeedSettings | FileFeedSettings):
            return ReplayFeed(load_series(settings), speed=feed.speed, after_ns=after_ns)
        known_ns = None if after_ns is None else after_ns - settings.interval_ns
        return WebSocketFeed(feed.url, settings.symbols, after_ns=known_ns)

    def open_broker() -> Broker:
        return PaperBroker(
            settings.folder / f"{settings.account}.broker",
            cash=sum(allocation.cash for allocation in settings.allocations),
            symbols=settings.symbols,
            interval_ns=settings.interval_ns,
            settings=settings.broker.market,
            max_leverage=settings.broker.max_leverage,
        )

    return OrchestratorAgent(settings, open_feed, open_broker, bus, tracer)


def load_series(settings: OrchestratorSettings) -> list[Bars]:
    """The bars that a replay feeds.

    Raises:
        MarketDataError: A file cannot be read, or there is no such sample.
    """
    feed = settings.feed
    if isinstance(feed, SampleFeedSettings):
        return [
            split_bars(load_sample(symbol), feed.held_out_fraction)[1]
            for symbol in settings.symbols
        ]
    assert isinstance(feed, FileFeedSettings)
    return [load_bars(path, symbol) for symbol, path in feed.files.items()]
