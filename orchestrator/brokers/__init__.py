"""Where orders go: the broker interface, and a broker on paper."""

from orchestrator.brokers.broker import Broker, Holdings, Order, OrderState, OrderStatus
from orchestrator.brokers.market import PaperMarketSettings
from orchestrator.brokers.paper import PaperBroker

__all__ = [
    "Broker",
    "Holdings",
    "Order",
    "OrderState",
    "OrderStatus",
    "PaperBroker",
    "PaperMarketSettings",
]
