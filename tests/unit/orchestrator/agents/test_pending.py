"""Which orders of before a crash a new answer of the risk service still allows."""

from typing import Any

import numpy as np
import pytest

from orchestrator.agents.pending import withheld_orders
from orchestrator.agents.questions import RiskReply
from orchestrator.agents.reasons import Reason
from orchestrator.brokers import Order
from tradewind.risk import EnforcedPolicy, Position, RiskInputs, RiskPolicy, RiskReport
from tradewind.risk.rules import Action
from tradewind.rpc.clients import Evaluation

POLICY = RiskPolicy.parse(
    {
        "pre_trade": {"order_notional": 1_000.0},
        "rules": [
            {
                "name": "order_too_large",
                "when": {"metric": "pre_trade.order_notional"},
                "action": "BLOCK",
            }
        ],
    }
)
HELD = {"BTC": 3.0, "ETH": -2.0}
INPUTS = RiskInputs(
    portfolio_values=np.array([1_000.0]),
    capital_base=1_000.0,
    positions=tuple(Position(name, quantity, 100.0) for name, quantity in HELD.items()),
)


def order(name: str, quantity: float, reason: str = "POLICY") -> tuple[Order, str]:
    return Order(f"7-{name}", name, quantity, 100.0, 1, 2), reason


def reply(action: Action | None, reason: Reason | None = None) -> RiskReply:
    report = RiskReport({}, {}, None, None, (), {}, POLICY.digest())
    evaluation = None if action is None else Evaluation(action, (), None, report, None, "d", "r")
    return RiskReply("r", evaluation, reason, 0)


BUYS, SHRINKS, TURNS = order("BTC", 1.0), order("ETH", 1.0), order("ETH", 3.0)
CLOSES = order("BTC", -3.0, "FLATTEN")


@pytest.mark.parametrize(
    ("answer", "orders", "withheld"),
    [
        (reply(Action.ALLOW), [BUYS, SHRINKS], {}),
        # What was throttled before it was journalled is not throttled again.
        (reply(Action.THROTTLE), [BUYS, SHRINKS], {}),
        (reply(Action.HEDGE), [BUYS, SHRINKS], {"7-BTC": "RISK_HEDGE"}),
        (reply(Action.REDUCE_POSITION), [TURNS], {"7-ETH": "RISK_REDUCE_POSITION"}),
        (reply(Action.BLOCK), [BUYS, SHRINKS], {"7-BTC": "RISK_BLOCK", "7-ETH": "RISK_BLOCK"}),
        (reply(Action.HALT), [BUYS, SHRINKS], {"7-BTC": "RISK_HALT", "7-ETH": "RISK_HALT"}),
        (reply(Action.LIQUIDATE), [SHRINKS], {"7-ETH": "RISK_LIQUIDATE"}),
        # What closes for safety's sake is sent, whatever the answer ...
        (reply(Action.HALT), [CLOSES, SHRINKS], {"7-ETH": "RISK_HALT"}),
        (reply(Action.LIQUIDATE), [CLOSES], {}),
        (reply(None, Reason.RISK_UNAVAILABLE), [CLOSES], {}),
        # ... as long as it still only closes.
        (reply(Action.HALT), [order("BTC", -4.0, "FLATTEN")], {"7-BTC": "RISK_HALT"}),
        (reply(Action.HALT), [order("LTC", -1.0, "FLATTEN")], {"7-LTC": "RISK_HALT"}),
        (reply(None, Reason.DEADLINE), [BUYS], {"7-BTC": "DEADLINE"}),
        (
            reply(Action.ALLOW, Reason.RISK_POLICY_CHANGED),
            [BUYS],
            {"7-BTC": "RISK_POLICY_CHANGED"},
        ),
        (reply(Action.ALLOW), [order("BTC", 11.0)], {"7-BTC": "PRE_TRADE_LIMIT"}),
    ],
)
def test_order_of_before_a_crash_with_a_new_answer_is_sent_as_it_is_or_not(
    answer: RiskReply, orders: list[Any], withheld: dict[str, str]
) -> None:
    assert withheld_orders(orders, HELD, answer, INPUTS, EnforcedPolicy(POLICY)) == withheld
