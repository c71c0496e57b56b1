"""Names and numbers that more than one package must agree on."""

from typing import Final

__all__ = [
    "ACTION_BUY",
    "ACTION_HOLD",
    "ACTION_SELL",
    "CLOSE",
    "ERROR_DOMAIN",
    "HIGH",
    "LOW",
    "MAX_PREDICTION_LATENCY_US",
    "MAX_RISK_EVALUATION_LATENCY_US",
    "OPEN_PRICE",
    "POLICY_BUNDLE_VERSION",
    "TIMESTAMP",
    "VOLUME",
]

# Columns of a table of bars.
TIMESTAMP: Final = "timestamp"
OPEN_PRICE: Final = "open"
HIGH: Final = "high"
LOW: Final = "low"
CLOSE: Final = "close"
VOLUME: Final = "volume"

# Discrete actions of a trading policy.
ACTION_SELL: Final = 0
ACTION_HOLD: Final = 1
ACTION_BUY: Final = 2

MAX_PREDICTION_LATENCY_US: Final = 100.0
"""Service-level objective of one model compute, in microseconds."""

MAX_RISK_EVALUATION_LATENCY_US: Final = 50.0
"""Service-level objective of one `calculate_only`, in microseconds."""

POLICY_BUNDLE_VERSION: Final = 2
"""`format_version` of the bundles this release writes."""

ERROR_DOMAIN: Final = "tradewind"
"""`domain` of the google.rpc.ErrorInfo that every error status carries."""
