"""Where orders go: what a broker is, a guard in front of it, and a broker on paper."""

from orchestrator.brokers.broker import BROKERS, Broker
from orchestrator.brokers.built_in.paper import PaperBroker
from orchestrator.brokers.guard import BrokerGuard
from orchestrator.brokers.market import PaperBrokerSettings, PaperMarketSettings
from orchestrator.brokers.orders import (
    Holdings,
    Order,
    OrderKind,
    OrderState,
    OrderStatus,
    TimeInForce,
)
from orchestrator.brokers.style import OrderSettings
from orchestrator.brokers.terms import BrokerTerms, read_terms

__all__ = [
    "BROKERS",
    "Broker",
    "BrokerGuard",
    "BrokerTerms",
    "Holdings",
    "Order",
    "OrderKind",
    "OrderSettings",
    "OrderState",
    "OrderStatus",
    "PaperBroker",
    "PaperBrokerSettings",
    "PaperMarketSettings",
    "TimeInForce",
    "read_terms",
]
