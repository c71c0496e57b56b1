"""What the risk service's demand makes of the orders that the policies want."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.agents.reasons import Reason
from tradewind.market.instruments import Instrument
from tradewind.risk import EnforcedPolicy, Position, RiskInputs, RiskPolicy
from tradewind.risk.pretrade import PRE_TRADE_METRICS, IntendedOrder, PreTradeLimits, check_order
from tradewind.risk.rules import Action, Readings, RuleSettings

__all__ = ["Intent", "PreTrade", "apply_demand", "round_intents"]

# The rules have the limits; how much of an order would be within them is not asked here.
_NO_LIMITS = PreTradeLimits()


@dataclass(frozen=True, slots=True)
class Intent:
    """An order that a policy wants, or that safety wants; `refusal` says why it is not sent."""

    symbol: str
    quantity: float
    price: float
    reason: Reason
    refusal: str = ""


def apply_demand(
    action: Action, intents: Sequence[Intent], held: Mapping[str, float], throttle_fraction: float
) -> tuple[list[Intent], Reason | None]:
    """Makes the orders what an action still allows.

    ALLOW and WARN change nothing. THROTTLE sends a fraction of each order. HEDGE and
    REDUCE_POSITION send only what brings a position towards zero and not beyond: without an
    instrument to hedge with, reducing is the hedge. From BLOCK on nothing a policy wants is sent.

    Args:
        action: What the risk service demands.
        intents: What the policies want.
        held: Signed position of each symbol.
        throttle_fraction: What THROTTLE leaves of an order.

    Returns:
        The orders, refused ones marked, and the reason code of the demand.
    """
    if action <= Action.WARN:
        return list(intents), None
    reason = Reason(f"RISK_{action.name}")
    if action is Action.THROTTLE:
        return [
            dataclasses.replace(intent, quantity=intent.quantity * throttle_fraction)
            for intent in intents
        ], reason
    if action >= Action.BLOCK:
        return [dataclasses.replace(intent, refusal=reason) for intent in intents], reason
    return [_reduced(intent, held.get(intent.symbol, 0.0), reason) for intent in intents], reason


def whole_reductions(
    wanted: Sequence[Intent], intents: Sequence[Intent], held: Mapping[str, float]
) -> list[Intent]:
    """Sends a reduction whole that a demand made too small to be sent at all.

    Half of an order to close one lot is none, at every tick: the demand would hold the account in
    the position that it is to leave.

    Args:
        wanted: The orders before the demand.
        intents: The same ones after it, rounded.
        held: Signed position of each symbol.
    """
    return [
        before
        if after.refusal == Reason.BELOW_MINIMUM
        and not before.refusal
        and before.quantity * held.get(before.symbol, 0.0) < 0.0
        and abs(before.quantity) <= abs(held[before.symbol])
        else after
        for before, after in zip(wanted, intents, strict=True)
    ]


def round_intents(
    intents: Sequence[Intent], instruments: Mapping[str, Instrument], held: Mapping[str, float]
) -> list[Intent]:
    """Makes the orders what their instruments take, by the code that fills them in training.

    What closes a position is left as it is, however small it is.

    Args:
        intents: What is wanted; refused ones are passed over.
        instruments: What symbols are traded as; the orders of others are left as they are.
        held: Signed position of each symbol.

    Returns:
        The orders, rounded towards zero; those of which nothing is left, whole and refused.
    """
    return [
        _rounded(intent, instruments[intent.symbol], held.get(intent.symbol, 0.0))
        if intent.symbol in instruments and not intent.refusal
        else intent
        for intent in intents
    ]


def _rounded(intent: Intent, instrument: Instrument, held: float) -> Intent:
    quantity = instrument.round_quantity(intent.quantity, held, intent.price)
    below_tick = intent.price < (instrument.tick or 0.0) and quantity != -held
    if intent.quantity and (quantity == 0.0 or below_tick):
        return dataclasses.replace(intent, refusal=Reason.BELOW_MINIMUM)
    return intent if quantity == intent.quantity else dataclasses.replace(intent, quantity=quantity)


class PreTrade:
    """Checks each order of a tick as the risk service does, by its own code and policy.

    Evaluate takes one order a call, and every call counts in the windows of its rules: one call a
    tick stays one evaluation, and the orders are checked here. A rule with a window holds at the
    first order that it would count.

    Args:
        enforced: The risk policy in force and its overlay, their digests compared with those of
            every answer.
        throttle_fraction: What a rule that demands THROTTLE leaves of an order.
    """

    def __init__(self, enforced: EnforcedPolicy, throttle_fraction: float) -> None:
        self._throttle_fraction = throttle_fraction
        self._engine = enforced.rule_engine(_rules_on_orders)

    def check(
        self, intents: Sequence[Intent], inputs: RiskInputs, metrics: Mapping[str, float]
    ) -> list[Intent]:
        """Marks what must not be sent and makes smaller what is throttled.

        Each order is judged after those before it.

        Args:
            intents: The orders; refused ones are passed over.
            inputs: The account before them.
            metrics: Of the account.
        """
        checked = []
        for place, intent in enumerate(intents, start=1):
            if not intent.refusal and intent.quantity:
                intent = self._check(intent, inputs, metrics)
                if not intent.refusal and place < len(intents):
                    inputs = dataclasses.replace(inputs, positions=_after(intent, inputs.positions))
            checked.append(intent)
        return checked

    def _check(self, intent: Intent, inputs: RiskInputs, metrics: Mapping[str, float]) -> Intent:
        order = IntendedOrder(intent.symbol, intent.quantity, intent.price)
        check = check_order(order, inputs, _NO_LIMITS)
        readings = Readings({**metrics, **check.values}, check.unavailable, check.not_applicable)
        outcome = self._engine.evaluate(readings, inputs.now, {})
        stops = Action.BLOCK if check.reduces_only else Action.HEDGE
        if outcome.action is Action.THROTTLE:
            return dataclasses.replace(intent, quantity=intent.quantity * self._throttle_fraction)
        if outcome.action < stops:
            return intent
        return dataclasses.replace(intent, refusal=Reason.PRE_TRADE_LIMIT)


def _rules_on_orders(policy: RiskPolicy) -> tuple[RuleSettings, ...]:
    return tuple(
        rule.model_copy(update={"window": None})
        for rule in policy.rules
        if any(part.metric in PRE_TRADE_METRICS for part in rule.when.thresholds())
    )


def _reduced(intent: Intent, held: float, reason: Reason) -> Intent:
    if held * intent.quantity >= 0.0:
        return dataclasses.replace(intent, refusal=reason)
    if abs(intent.quantity) > abs(held):
        return dataclasses.replace(intent, quantity=-held)
    return intent


def _after(intent: Intent, positions: Sequence[Position]) -> tuple[Position, ...]:
    return tuple(
        dataclasses.replace(position, quantity=position.quantity + intent.quantity)
        if position.symbol == intent.symbol
        else position
        for position in positions
    )
