"""What is left of the orders under every demand of the risk service and every pre-trade rule."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.enforcement import Intent, PreTrade, apply_demand
from orchestrator.agents.reasons import Reason
from tradewind.risk import EnforcedPolicy, Position, RiskInputs, RiskPolicy
from tradewind.risk.rules import Action

HELD = {"LONG": 10.0, "SHORT": -10.0, "FLAT": 0.0}
WANTED = [
    ("LONG", 4.0),  # adds
    ("LONG", -4.0),  # reduces
    ("LONG", -10.0),  # closes
    ("LONG", -15.0),  # flips through zero
    ("SHORT", -4.0),
    ("SHORT", 4.0),
    ("SHORT", 10.0),
    ("SHORT", 15.0),
    ("FLAT", 4.0),
    ("FLAT", -4.0),
]
INTENTS = [Intent(symbol, quantity, 100.0, Reason.POLICY) for symbol, quantity in WANTED]

WHOLE = [quantity for _, quantity in WANTED]
REDUCED = [None, -4.0, -10.0, -10.0, None, 4.0, 10.0, 10.0, None, None]
NOTHING = [None] * len(WANTED)

# In the order of their severity; what is sent of each order of WANTED.
DEMANDS: dict[Action, list[float | None]] = {
    Action.ALLOW: [*WHOLE],
    Action.WARN: [*WHOLE],
    Action.THROTTLE: [quantity * 0.25 for quantity in WHOLE],
    Action.HEDGE: REDUCED,
    Action.REDUCE_POSITION: REDUCED,
    Action.BLOCK: [*NOTHING],
    Action.HALT: [*NOTHING],
    Action.LIQUIDATE: [*NOTHING],
}


def sent(intents: list[Intent]) -> list[float | None]:
    return [None if intent.refusal else intent.quantity for intent in intents]


def test_demands_are_every_action_there_is_in_its_order() -> None:
    assert list(DEMANDS) == sorted(Action)


@pytest.mark.parametrize("action", DEMANDS)
def test_demand_leaves_of_each_order_what_it_allows_and_says_why(action: Action) -> None:
    intents, reason = apply_demand(action, INTENTS, HELD, throttle_fraction=0.25)
    assert sent(intents) == DEMANDS[action]
    assert reason == (None if action <= Action.WARN else f"RISK_{action.name}")
    assert {intent.refusal for intent in intents} <= {"", reason}
    assert [intent.symbol for intent in intents] == [symbol for symbol, _ in WANTED]


@given(
    action=st.sampled_from(Action),
    held=st.floats(-1e9, 1e9),
    quantity=st.floats(-1e9, 1e9),
    fraction=st.floats(0.01, 1.0),
)
def test_demand_never_enlarges_an_order_and_a_reduced_one_never_crosses_zero(
    action: Action, held: float, quantity: float, fraction: float
) -> None:
    (intent,), _ = apply_demand(
        action, [Intent("BTC", quantity, 1.0, Reason.POLICY)], {"BTC": held}, fraction
    )
    after = held if intent.refusal else held + intent.quantity
    assert abs(intent.quantity) <= abs(quantity)
    if action in (Action.HEDGE, Action.REDUCE_POSITION):
        assert abs(after) <= abs(held)
        assert after * held >= 0.0
    if action >= Action.BLOCK:
        assert intent.refusal


def pre_trade(*rules: dict[str, Any], **limits: float) -> PreTrade:
    named = [{"name": f"rule_{number}", **rule} for number, rule in enumerate(rules)]
    policy = RiskPolicy.parse({"pre_trade": limits, "rules": named})
    return PreTrade(EnforcedPolicy(policy), 0.25)


def rule(metric: str, action: str, **more: Any) -> dict[str, Any]:
    return {"when": {"metric": f"pre_trade.{metric}"}, "action": action, **more}


ACCOUNT = RiskInputs(
    positions=tuple(Position(symbol, quantity, 100.0) for symbol, quantity in HELD.items()),
    capital_base=10_000.0,
    now=1.6e9,
)


def test_sell_of_a_thousand_at_a_cent_is_refused_by_the_shipped_policy() -> None:
    checks = PreTrade(EnforcedPolicy(RiskPolicy.from_yaml("config/risk_limits.yaml")), 0.25)
    account = RiskInputs(
        positions=(Position("BTC", 0.0, 30_000.0), Position("ETH", 2.0, 2_000.0)),
        capital_base=100_000.0,
        now=1.6e9,
    )

    def refusal(symbol: str, quantity: float, price: float) -> str:
        (checked,) = checks.check([Intent(symbol, quantity, price, Reason.POLICY)], account, {})
        return checked.refusal

    assert refusal("BTC", -1_000.0, 0.01) == Reason.PRE_TRADE_LIMIT
    assert refusal("BTC", 1_000.0, 0.01) == Reason.PRE_TRADE_LIMIT
    assert refusal("BTC", -1.0, 0.01) == ""
    # No market price is known.
    assert refusal("XRP", -1.0, 0.01) == Reason.PRE_TRADE_LIMIT


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("WARN", WHOLE),
        ("THROTTLE", [quantity * 0.25 for quantity in WHOLE]),
        ("HEDGE", [None, -4.0, -10.0, None, None, 4.0, 10.0, None, None, None]),
        ("REDUCE_POSITION", [None, -4.0, -10.0, None, None, 4.0, 10.0, None, None, None]),
        ("BLOCK", NOTHING),
        ("HALT", NOTHING),
        ("LIQUIDATE", NOTHING),
    ],
)
@pytest.mark.parametrize("more", [{}, {"window": {"at_least": 3, "evaluations": 5}}])
def test_order_over_its_limit_is_sent_as_the_rule_demands(
    action: str, expected: list[float | None], more: dict[str, Any]
) -> None:
    checks = pre_trade(rule("order_notional", action, **more), order_notional=399.0)
    each = [checks.check([intent], ACCOUNT, {})[0] for intent in INTENTS]
    assert sent(each) == expected
    assert {intent.refusal for intent in each} <= {"", Reason.PRE_TRADE_LIMIT}
    small = [dataclasses.replace(intent, quantity=intent.quantity / 10.0) for intent in INTENTS]
    assert checks.check(small[:2], ACCOUNT, {}) == small[:2]


def test_position_over_its_limit_may_be_reduced_and_closed_but_neither_raised_nor_flipped() -> None:
    checks = pre_trade(rule("position_notional", "BLOCK"), position_notional=450.0)
    each = [checks.check([intent], ACCOUNT, {})[0] for intent in INTENTS]
    assert sent(each) == [None, -4.0, -10.0, None, None, 4.0, 10.0, None, 4.0, -4.0]


def test_orders_of_one_tick_are_judged_after_those_before_them_that_are_sent() -> None:
    # 2,000 are held, on either side; 2,500 are allowed.
    checks = pre_trade(rule("gross_leverage", "BLOCK"), gross_leverage=0.25)
    orders = [
        Intent("LONG", 6.0, 100.0, Reason.POLICY),  # 2,600: refused, and not counted
        Intent("FLAT", 4.0, 100.0, Reason.POLICY, refusal="RISK_BLOCK"),  # passed over
        Intent("FLAT", -3.0, 100.0, Reason.POLICY),  # 2,300
        Intent("LONG", 3.0, 100.0, Reason.POLICY),  # 2,600: refused, only for the one before
        Intent("SHORT", 5.0, 100.0, Reason.POLICY),  # 1,800
        Intent("LONG", 7.0, 100.0, Reason.POLICY),  # 2,500: just what is allowed
    ]
    checked = checks.check(orders, ACCOUNT, {})
    assert sent(checked) == [None, None, -3.0, None, 5.0, 7.0]
    assert checked[1].refusal == "RISK_BLOCK"
    assert sent(checks.check([orders[3]], ACCOUNT, {})) == [3.0]


def test_order_whose_metric_cannot_be_calculated_is_refused_unless_it_only_reduces() -> None:
    checks = pre_trade(rule("adv_participation", "REDUCE_POSITION"), adv_participation=0.5)
    each = [checks.check([intent], ACCOUNT, {})[0] for intent in INTENTS]
    assert sent(each) == [None, -4.0, -10.0, None, None, 4.0, 10.0, None, None, None]
    nowhere = dataclasses.replace(ACCOUNT, positions=())
    assert sent(checks.check(INTENTS[1:2], nowhere, {})) == [None]


def test_rule_over_account_and_order_needs_both_and_a_rule_of_the_account_alone_is_not_asked() -> (
    None
):
    both = {
        "when": {
            "all": [
                {"metric": "pre_trade.order_notional"},
                {"metric": "max_drawdown", "over": 0.1},
            ]
        },
        "action": "BLOCK",
    }
    alone = {"when": {"metric": "max_drawdown", "over": 0.1}, "action": "HALT"}
    checks = pre_trade(both, alone, order_notional=399.0)
    over, under = INTENTS[0], dataclasses.replace(INTENTS[0], quantity=1.0)
    assert sent(checks.check([over, under], ACCOUNT, {"max_drawdown": 0.2})) == [None, 1.0]
    assert sent(checks.check([over, under], ACCOUNT, {"max_drawdown": 0.05})) == [4.0, 1.0]
    assert sent(checks.check([over, under], ACCOUNT, {})) == [None, 1.0]
