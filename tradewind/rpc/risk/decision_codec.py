"""Between what the risk service decides and goes by, and its messages."""

from typing import Final

from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import RpcError
from tradewind.risk.book_side import BOOK_IMPACT
from tradewind.risk.decision import (
    Decision,
    DecisionKind,
    DecisionRecord,
    Evaluation,
    Halt,
    RiskPolicyStatus,
)
from tradewind.risk.pretrade import (
    ADV_PARTICIPATION,
    GROSS_LEVERAGE,
    ORDER_NOTIONAL,
    POSITION_NOTIONAL,
    IntendedOrder,
    PreTradeCheck,
)
from tradewind.risk.rules import Action, Breach, Severity
from tradewind.risk.settings import EnabledCalculator
from tradewind.rpc.codecs.fields import Conversion, MessageCodec, by_value
from tradewind.rpc.risk.risk_codec import risk_report_from_message

__all__ = [
    "DECISION",
    "INTENDED_ORDER",
    "POLICY_STATUS",
    "read_evaluation",
    "write_evaluation",
    "write_halt",
]

_CHECK_FIELDS: Final = {
    "notional_after": POSITION_NOTIONAL,
    "gross_leverage_after": GROSS_LEVERAGE,
    "adv_participation_after": ADV_PARTICIPATION,
    "book_impact": BOOK_IMPACT,
    "order_notional": ORDER_NOTIONAL,
}


def write_evaluation(decision: Decision, metrics: bytes) -> bytes:
    """The answer to an Evaluate: a serialized EvaluateResponse.

    Args:
        decision: What was decided.
        metrics: The field with the metrics, serialized.
    """
    answer = risk_pb2.EvaluateResponse(
        action=_write_action(decision.action),
        breaches=map(_BREACH.write, decision.breaches),
        halt=write_halt(decision.halt),
        decision_id=decision.decision_id,
        request_id=decision.request_id,
        pre_trade=_write_check(decision.pre_trade),
        overlay_digest=decision.overlay_digest,
    ).SerializeToString()
    return answer + metrics


def read_evaluation(answer: risk_pb2.EvaluateResponse) -> Evaluation:
    """The answer to Evaluate.

    Raises:
        RpcError: A newer server gives an action or a severity that is not known here.
    """
    return Evaluation(
        action=_read_action(answer.action),
        breaches=tuple(map(_BREACH.read, answer.breaches)),
        halt=_read_halt(answer.halt),
        report=risk_report_from_message(answer.metrics),
        pre_trade=_read_check(answer.pre_trade) if answer.HasField("pre_trade") else None,
        decision_id=answer.decision_id,
        request_id=answer.request_id,
        overlay_digest=answer.overlay_digest,
    )


def write_halt(halt: Halt | None) -> risk_pb2.HaltState:
    """The halt state of an account."""
    if halt is None:
        return risk_pb2.HaltState()
    message: risk_pb2.HaltState = _HALT.write(halt)
    message.halted = True
    return message


def _read_halt(message: risk_pb2.HaltState) -> Halt | None:
    return _HALT.read(message) if message.halted else None


def _write_action(action: Action) -> risk_pb2.Action.ValueType:
    return risk_pb2.Action.ValueType(action)


def _read_action(number: risk_pb2.Action.ValueType) -> Action:
    try:
        return Action(number)
    except ValueError:
        raise RpcError(f"the risk service demands action {number}, unknown here") from None


def _write_check(check: PreTradeCheck | None) -> risk_pb2.PreTradeCheck | None:
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


def _read_check(message: risk_pb2.PreTradeCheck) -> PreTradeCheck:
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


_ACTION: Final = Conversion(_read_action, _write_action)
_BREACH: Final = MessageCodec(
    Breach,
    risk_pb2.Breach,
    parts={
        "action": _ACTION,
        "severity": by_value(Severity, "the risk service gives the severity"),
    },
)
_HALT: Final = MessageCodec(Halt, risk_pb2.HaltState, parts={"action": _ACTION})
DECISION: Final = MessageCodec(
    DecisionRecord,
    risk_pb2.Decision,
    parts={
        "kind": by_value(DecisionKind, "the risk service has decisions of kind"),
        "action": _ACTION,
        "breaches": _BREACH,
        "pre_trade": Conversion(_read_check, _write_check),
        "halt": Conversion(_read_halt, write_halt),
    },
)
POLICY_STATUS: Final = MessageCodec(
    RiskPolicyStatus,
    risk_pb2.GetRiskPolicyResponse,
    parts={
        "declared": MessageCodec(
            EnabledCalculator,
            risk_pb2.RiskCalculator,
            names={"metrics": "metric_units"},
            without={"needs", "settings"},
        ),
    },
)
INTENDED_ORDER: Final = MessageCodec(IntendedOrder, risk_pb2.IntendedOrder)
