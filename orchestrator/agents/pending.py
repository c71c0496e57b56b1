"""Orders that a crash kept from being sent: which of them the risk service still allows."""

from collections.abc import Mapping

from orchestrator.account.portfolio import CENT
from orchestrator.agents.enforcement import Intent, PreTrade, apply_demand
from orchestrator.agents.questions import RiskReply
from orchestrator.agents.reasons import Reason
from orchestrator.agents.reconciliation import PendingOrders
from orchestrator.brokers import Order
from tradewind.risk import EnforcedPolicy, RiskInputs

__all__ = ["withheld_orders"]


def withheld_orders(
    orders: PendingOrders,
    held: Mapping[str, float],
    reply: RiskReply,
    inputs: RiskInputs,
    enforced: EnforcedPolicy,
) -> dict[str, str]:
    """Judges orders by a new answer of the risk service, as they were judged before the crash.

    What closes a position for safety's sake is sent whatever the answer, as long as it still only
    closes. The others were made what the first answer allowed, and are sent as they are or not.

    Args:
        orders: Orders and the reason for each.
        held: What the broker holds by symbol.
        reply: The new answer.
        inputs: The account that it is about.
        enforced: The risk policy in force and its overlay.

    Returns:
        Why, by the id of each order that must not be sent.
    """
    wanted = [
        order
        for order, reason in orders
        if not (reason == Reason.FLATTEN and _only_closes(order, held.get(order.symbol, 0.0)))
    ]
    if reply.evaluation is None or reply.reason is not None:
        doubt = reply.reason or Reason.RISK_UNAVAILABLE
        return {order.client_order_id: doubt.value for order in wanted}
    intents = [
        Intent(order.symbol, order.quantity, order.reference_price, Reason.POLICY)
        for order in wanted
    ]
    # What THROTTLE leaves of an order was taken before it was journalled.
    allowed, demand = apply_demand(reply.evaluation.action, intents, held, 1.0)
    metrics = reply.evaluation.report.metric_values
    checked = PreTrade(enforced, 1.0).check(allowed, inputs, metrics)
    withheld: dict[str, str] = {}
    for order, intent in zip(wanted, checked, strict=True):
        if intent.refusal:
            withheld[order.client_order_id] = intent.refusal
        elif intent.quantity != order.quantity and demand is not None:
            withheld[order.client_order_id] = demand.value  # it would do more than reduce
    return withheld


def _only_closes(order: Order, held: float) -> bool:
    beyond = abs(order.quantity) - abs(held)
    return held * order.quantity < 0.0 and beyond * order.reference_price < CENT
