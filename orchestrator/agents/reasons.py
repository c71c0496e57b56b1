"""Why a tick, a symbol or an order was not traded as its policy wanted."""

from enum import StrEnum

__all__ = ["Reason"]


class Reason(StrEnum):
    """A reason code, stable across releases."""

    # Bars.
    WARM_UP = "WARM_UP"  # too few bars for an observation
    MISSING_BAR = "MISSING_BAR"  # the symbol has none at this tick
    LATE_BAR = "LATE_BAR"  # it came too late to be traded on
    FEATURES_FAILED = "FEATURES_FAILED"  # a feature group gave no observation

    # Answers.
    DEADLINE = "DEADLINE"  # the budget of the tick was over
    INFERENCE_UNAVAILABLE = "INFERENCE_UNAVAILABLE"
    RISK_UNAVAILABLE = "RISK_UNAVAILABLE"
    METRIC_UNAVAILABLE = "METRIC_UNAVAILABLE"  # one of `required_metrics`
    ANSWER_UNVERIFIED = "ANSWER_UNVERIFIED"  # of another request, or no action of the policy
    VERSION_CHANGED = "VERSION_CHANGED"  # by a version whose contract was not compared yet
    CONTRACT_MISMATCH = "CONTRACT_MISMATCH"  # by a version that must not be traded here
    RISK_POLICY_CHANGED = "RISK_POLICY_CHANGED"

    # What the risk service demanded.
    RISK_THROTTLE = "RISK_THROTTLE"
    RISK_HEDGE = "RISK_HEDGE"
    RISK_REDUCE_POSITION = "RISK_REDUCE_POSITION"
    RISK_BLOCK = "RISK_BLOCK"
    RISK_HALT = "RISK_HALT"
    RISK_LIQUIDATE = "RISK_LIQUIDATE"

    # Orders.
    POLICY = "POLICY"  # sent as the policy wanted
    FLATTEN = "FLATTEN"  # sent to close the position
    PRE_TRADE_LIMIT = "PRE_TRADE_LIMIT"
    BELOW_MINIMUM = "BELOW_MINIMUM"  # less than a lot, a minimum notional or a tick: not sent
    ORDER_OPEN = "ORDER_OPEN"  # an earlier order of the symbol is not final
    WITHDRAWN = "WITHDRAWN"  # taken back: its position is closed instead, or nothing is traded
    ORDER_REJECTED = "ORDER_REJECTED"  # by the broker
    BROKER_UNAVAILABLE = "BROKER_UNAVAILABLE"
    BROKER_TERMS = "BROKER_TERMS"  # it does not trade on the terms that it said at the start
    RECONCILIATION = "RECONCILIATION"  # the broker holds something else
