"""The client that joins the three services: bars in, decisions and a paper account out."""

from typing import TYPE_CHECKING

from tradewind.lazy import lazy_names

if TYPE_CHECKING:
    from orchestrator.agents import ExecutionAgent, OrchestratorAgent
    from orchestrator.brokers import Broker, Holdings, Order, OrderState, OrderStatus
    from orchestrator.feeds import Feed, FeedBar, FeedFault

__all__ = [
    "Broker",
    "ExecutionAgent",
    "Feed",
    "FeedBar",
    "FeedFault",
    "Holdings",
    "OrchestratorAgent",
    "Order",
    "OrderState",
    "OrderStatus",
]

_MODULES = {
    "Broker": "brokers",
    "ExecutionAgent": "agents",
    "Feed": "feeds",
    "FeedBar": "feeds",
    "FeedFault": "feeds",
    "Holdings": "brokers",
    "OrchestratorAgent": "agents",
    "Order": "brokers",
    "OrderState": "brokers",
    "OrderStatus": "brokers",
}

__getattr__ = lazy_names(__name__, _MODULES)
