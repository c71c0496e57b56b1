"""Builds the agent that the settings describe."""

from functools import cache

from orchestrator.agents import OrchestratorAgent
from orchestrator.agents.market_choice import KnownTimes
from orchestrator.brokers import Broker, PaperBroker
from orchestrator.events import EventBus
from orchestrator.feeds import Feed, ReplayFeed, WebSocketFeed
from orchestrator.markets import Markets
from orchestrator.settings import (
    FileFeedSettings,
    OrchestratorSettings,
    SampleFeedSettings,
    WebSocketFeedSettings,
)
from tradewind.errors import MarketDataError
from tradewind.market import Bars, load_bars, load_sample, split_bars
from tradewind.tracing import Tracer

__all__ = ["build_agent", "load_series"]


def build_agent(
    settings: OrchestratorSettings, bus: EventBus | None = None, tracer: Tracer | None = None
) -> OrchestratorAgent:
    """The agent with the feed and the broker of its settings."""

    @cache
    def series() -> list[Bars]:
        return load_series(settings)

    def known_times() -> KnownTimes:
        if isinstance(settings.feed, WebSocketFeedSettings):
            return {}
        if isinstance(settings.feed, SampleFeedSettings):
            return {symbol: load_sample(symbol).timestamps_ns for symbol in settings.symbols}
        return {bars.symbol: bars.timestamps_ns for bars in series()}

    def open_feed(after_ns: int | None, markets: Markets) -> Feed:
        feed = settings.feed
        if isinstance(feed, SampleFeedSettings | FileFeedSettings):
            return ReplayFeed(series(), speed=feed.speed, after_ns=after_ns)
        known_ns = None if after_ns is None else after_ns - settings.interval_ns
        return WebSocketFeed(
            feed.url,
            settings.symbols,
            after_ns=known_ns,
            markets=markets,
            silent_bars=feed.silent_bars,
        )

    def open_broker(markets: Markets) -> Broker:
        return PaperBroker(
            settings.folder / f"{settings.account}.broker",
            cash=sum(allocation.cash for allocation in settings.allocations),
            symbols=settings.symbols,
            interval_ns=settings.interval_ns,
            settings=settings.broker.market,
            max_leverage=settings.broker.max_leverage,
            markets=markets,
        )

    return OrchestratorAgent(settings, open_feed, open_broker, bus, tracer, known_times)


def load_series(settings: OrchestratorSettings) -> list[Bars]:
    """The bars that a replay feeds.

    Raises:
        MarketDataError: A file cannot be read, there is no such sample, or the bars are of another
            length than the settings say.
    """
    feed = settings.feed
    if isinstance(feed, SampleFeedSettings):
        series = [
            split_bars(load_sample(symbol), feed.held_out_fraction)[1]
            for symbol in settings.symbols
        ]
    else:
        assert isinstance(feed, FileFeedSettings)
        series = [load_bars(path, symbol) for symbol, path in feed.files.items()]
    for bars in series:
        if bars.interval_ns != settings.interval_ns:
            raise MarketDataError(
                f"the bars of {bars.symbol} are {bars.interval_ns / 1e9:g} s long, the settings "
                f"say bar_seconds = {settings.bar_seconds:g}"
            )
    return series
