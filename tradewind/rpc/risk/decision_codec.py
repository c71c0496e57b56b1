"""Between what a decision of the risk service says and its messages."""

from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import RpcError
from tradewind.risk.book_side import BOOK_IMPACT
from tradewind.risk.decision import DecisionKind, Halt
from tradewind.risk.pretrade import (
    ADV_PARTICIPATION,
    GROSS_LEVERAGE,
    ORDER_NOTIONAL,
    POSITION_NOTIONAL,
    PreTradeCheck,
)
from tradewind.risk.rules import Action, Breach, Severity

__all__ = [
    "action_from_message",
    "action_to_message",
    "breach_from_message",
    "breach_to_message",
    "check_from_message",
    "check_to_message",
    "decision_kind_from_message",
    "halt_from_message",
    "halt_to_message",
]

_CHECK_FIELDS = {
    "notional_after": POSITION_NOTIONAL,
    "gross_leverage_after": GROSS_LEVERAGE,
    "adv_participation_after": ADV_PARTICIPATION,
    "book_impact": BOOK_IMPACT,
    "order_notional": ORDER_NOTIONAL,
}


def action_to_message(action: Action) -> risk_pb2.Action.ValueType:
    """The enum value of an action."""
    return risk_pb2.Action.ValueType(action)


def action_from_message(number: risk_pb2.Action.ValueType) -> Action:
    """The action that an enum value stands for.

    Raises:
        RpcError: A newer server demands an action that is not known here.
    """
    try:
        return Action(number)
    except ValueError:
        raise RpcError(f"the risk service demands action {number}, unknown here") from None


def decision_kind_from_message(name: str) -> DecisionKind:
    """The kind of decision that a message names.

    Raises:
        RpcError: A newer server decides in a way that is not known here.
    """
    try:
        return DecisionKind(name)
    except ValueError:
        raise RpcError(f"the risk service has decisions of kind {name!r}, unknown here") from None


def _severity_from_message(name: str) -> Severity:
    try:
        return Severity(name)
    except ValueError:
        raise RpcError(f"the risk service gives the severity {name!r}, unknown here") from None


def breach_to_message(breach: Breach) -> risk_pb2.Breach:
    """The message of a breach."""
    return risk_pb2.Breach(
        rule=breach.rule,
        metric=breach.metric,
        value=breach.value,
        limit=breach.limit,
        headroom=breach.headroom,
        action=action_to_message(breach.action),
        shadow=breach.shadow,
        reason=breach.reason,
        severity=breach.severity,
    )


def breach_from_message(message: risk_pb2.Breach) -> Breach:
    """The breach that a message carries.

    Raises:
        RpcError: A newer server demands an action or gives a severity that is not known here.
    """
    return Breach(
        rule=message.rule,
        metric=message.metric,
        value=message.value if message.HasField("value") else None,
        limit=message.limit,
        headroom=message.headroom if message.HasField("headroom") else None,
        action=action_from_message(message.action),
        severity=_severity_from_message(message.severity),
        shadow=message.shadow,
        reason=message.reason,
    )


def halt_to_message(halt: Halt | None) -> risk_pb2.HaltState:
    """The halt state of an account."""
    if halt is None:
        return risk_pb2.HaltState()
    return risk_pb2.HaltState(
        halted=True,
        since=halt.since,
        rule=halt.rule,
        reason=halt.reason,
        decision_id=halt.decision_id,
        action=action_to_message(halt.action),
    )


def halt_from_message(message: risk_pb2.HaltState) -> Halt | None:
    """The halt that a message carries; None when the account is not halted."""
    if not message.halted:
        return None
    return Halt(
        action=action_from_message(message.action),
        since=message.since,
        rule=message.rule,
        reason=message.reason,
        decision_id=message.decision_id,
    )


def check_to_message(check: PreTradeCheck | None) -> risk_pb2.PreTradeCheck | None:
    """The message of a pre-trade check; None when there was no order."""
    if check is None:
        return None
    return risk_pb2.PreTradeCheck(
        symbol=check.symbol,
        position_after=check.position_after,
        allowed_quantity=check.allowed_quantity,
        binding_limit=check.binding_limit,
        unavailable=check.unavailable,
        reduces_only=check.reduces_only,
        **{field: check.values.get(metric) for field, metric in _CHECK_FIELDS.items()},
    )


def check_from_message(message: risk_pb2.PreTradeCheck) -> PreTradeCheck:
    """The pre-trade check that a message carries."""
    return PreTradeCheck(
        symbol=message.symbol,
        position_after=message.position_after if message.HasField("position_after") else None,
        reduces_only=message.reduces_only,
        values={
            _CHECK_FIELDS[field.name]: value
            for field, value in message.ListFields()
            if field.name in _CHECK_FIELDS
        },
        unavailable=dict(message.unavailable),
        allowed_quantity=message.allowed_quantity if message.HasField("allowed_quantity") else None,
        binding_limit=message.binding_limit,
    )
