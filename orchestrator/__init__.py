"""The client that joins the three services: bars in, decisions and orders out.

What stands here is enough to write a broker and a feed of one's own.
"""

from typing import TYPE_CHECKING

from tradewind.lazy import lazy_names

if TYPE_CHECKING:
    from orchestrator.agents import ExecutionAgent, OrchestratorAgent
    from orchestrator.brokers import (
        Broker,
        BrokerTerms,
        Holdings,
        Order,
        OrderKind,
        OrderState,
        OrderStatus,
        TimeInForce,
    )
    from orchestrator.feeds import Feed, FeedBar, FeedFault
    from orchestrator.mandate import Mandate
    from orchestrator.markets import Markets
    from orchestrator.records import BarRecord, FillRecord
    from tradewind.errors import ConflictError, NotFoundError, UnavailableError
    from tradewind.market import Bar
    from tradewind.settings import Settings

__all__ = [
    "Bar",
    "BarRecord",
    "Broker",
    "BrokerTerms",
    "ConflictError",
    "ExecutionAgent",
    "Feed",
    "FeedBar",
    "FeedFault",
    "FillRecord",
    "Holdings",
    "Mandate",
    "Markets",
    "NotFoundError",
    "OrchestratorAgent",
    "Order",
    "OrderKind",
    "OrderState",
    "OrderStatus",
    "Settings",
    "TimeInForce",
    "UnavailableError",
]

_MODULES = {
    "Bar": "tradewind.market",
    "BarRecord": "records",
    "Broker": "brokers",
    "BrokerTerms": "brokers",
    "ConflictError": "tradewind.errors",
    "ExecutionAgent": "agents",
    "Feed": "feeds",
    "FeedBar": "feeds",
    "FeedFault": "feeds",
    "FillRecord": "records",
    "Holdings": "brokers",
    "Mandate": "mandate",
    "Markets": "markets",
    "NotFoundError": "tradewind.errors",
    "OrchestratorAgent": "agents",
    "Order": "brokers",
    "OrderKind": "brokers",
    "OrderState": "brokers",
    "OrderStatus": "brokers",
    "Settings": "tradewind.settings",
    "TimeInForce": "brokers",
    "UnavailableError": "tradewind.errors",
}

__getattr__ = lazy_names(__name__, _MODULES)
