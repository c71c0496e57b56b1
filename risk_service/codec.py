"""Between the service's messages and the domain; nothing here decides."""

import base64
import binascii
import json
from typing import Any

from risk_service.audit.chain import AuditRow
from risk_service.audit.decision import Decision
from risk_service.evaluation import Evaluation
from risk_service.policy_source import LoadedPolicy
from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import FieldViolation, InvalidInputError, RiskInputError
from tradewind.risk import RiskInputs
from tradewind.risk.pretrade import IntendedOrder
from tradewind.rpc.risk.decision_codec import (
    action_to_message,
    breach_to_message,
    check_to_message,
    halt_to_message,
)
from tradewind.rpc.risk.risk_answer import AnswerWriter
from tradewind.rpc.risk.risk_wire import RiskRequest

__all__ = [
    "read_inputs",
    "read_order",
    "read_page_token",
    "write_evaluation",
    "write_page_token",
    "write_policy",
    "write_row",
]

_SERIES = (
    "portfolio_values",
    "timestamps",
    "returns",
    "trade_timestamps",
    "positions",
    "price_changes",
    "order_flows",
    "order_latencies_us",
    "options",
)


def read_inputs(request: RiskRequest[Any], max_series_values: int) -> RiskInputs:
    """The snapshot that a request carries.

    Raises:
        RiskInputError: A series is too long, or the snapshot contradicts itself.
    """
    inputs = request.inputs()
    if request.scanned is not None and request.scanned.longest <= max_series_values:
        return inputs
    lengths = [(name, len(getattr(inputs, name))) for name in _SERIES]
    for symbol, book in inputs.order_books.items():
        lengths.append((f"order_books[{symbol!r}].bids", len(book.bid_prices)))
        lengths.append((f"order_books[{symbol!r}].asks", len(book.ask_prices)))
    violations = [
        FieldViolation(name, f"{length} given, at most {max_series_values} allowed")
        for name, length in lengths
        if length > max_series_values
    ]
    if violations:
        raise RiskInputError("risk inputs are refused", violations)
    return inputs


def read_order(request: risk_pb2.EvaluateRequest) -> IntendedOrder | None:
    """The order that a request carries, if any."""
    if not request.HasField("intended_order"):
        return None
    order = request.intended_order
    return IntendedOrder(order.symbol, order.quantity, order.price)


def write_evaluation(evaluation: Evaluation, metrics: AnswerWriter) -> bytes:
    """The answer to an Evaluate: a serialized EvaluateResponse.

    Args:
        evaluation: What is answered.
        metrics: Writes its metrics.
    """
    decision = evaluation.decision
    answer = risk_pb2.EvaluateResponse(
        action=action_to_message(decision.action),
        breaches=[breach_to_message(breach) for breach in decision.breaches],
        halt=halt_to_message(decision.halt),
        decision_id=decision.decision_id,
        request_id=decision.request_id,
        pre_trade=check_to_message(decision.pre_trade),
        overlay_digest=decision.overlay_digest,
    ).SerializeToString()
    return answer + metrics.write_nested(
        evaluation.calculation,
        compute_ns=evaluation.compute_ns,
        request_id=decision.request_id,
        field=risk_pb2.EvaluateResponse.METRICS_FIELD_NUMBER,
    )


def write_row(row: AuditRow) -> risk_pb2.Decision:
    """One decision of the audit trail."""
    decision = Decision.from_json(row.payload)
    return risk_pb2.Decision(
        decision_id=decision.decision_id,
        sequence=row.sequence,
        decided_at=decision.decided_at,
        account=decision.account,
        request_id=decision.request_id,
        kind=decision.kind,
        action=action_to_message(decision.action),
        inputs_digest=decision.inputs_digest,
        policy_digest=decision.policy_digest,
        overlay_digest=decision.overlay_digest,
        metric_values=decision.metric_values,
        unavailable=decision.unavailable,
        breaches=[breach_to_message(breach) for breach in decision.breaches],
        actor_name=decision.actor_name,
        actor_role=decision.actor_role,
        reason=decision.reason,
        previous_hash=row.previous_hash,
        row_hash=row.row_hash,
        halt=halt_to_message(decision.halt),
        pre_trade=check_to_message(decision.pre_trade),
        now=decision.now,
    )


def write_policy(loaded: LoadedPolicy, refusal: str) -> risk_pb2.GetRiskPolicyResponse:
    """The policy in force and its overlay, and why the files as they now stand are not."""
    policy, overlay = loaded.policy, loaded.enforced.overlay
    calculators = list(policy.calculators.enabled())
    return risk_pb2.GetRiskPolicyResponse(
        policy_digest=loaded.digest,
        limits=loaded.enforced.tightened.rule_limits(),
        calculators=[each.name for each in calculators],
        canonical_json=policy.canonical_json(),
        rules=loaded.rules.describe(),
        refusal=refusal,
        parts_json=json.dumps(policy.parts, sort_keys=True),
        overlay_digest=loaded.overlay_digest,
        overlay_json=overlay.model_dump_json(by_alias=True) if loaded.overlay_digest else "",
        declared=[
            risk_pb2.RiskCalculator(
                name=each.name, version=each.version, use=each.use, metric_units=each.metrics
            )
            for each in calculators
        ],
    )


def write_page_token(account: str, before: int) -> str:
    """A token for the page of rows with a sequence smaller than `before`."""
    return base64.urlsafe_b64encode(json.dumps([account, before]).encode()).decode()


def read_page_token(token: str, account: str) -> int | None:
    """What `write_page_token` put into a token; None for the first page.

    Raises:
        InvalidInputError: It is not such a token, or it is one of a listing of another account.
    """
    if not token:
        return None
    try:
        listed, before = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise _bad_token("is not one that ListDecisions gave") from None
    if listed != account or type(before) is not int or not 0 < before < 2**63:
        raise _bad_token("belongs to a listing with another account")
    return before


def _bad_token(description: str) -> InvalidInputError:
    return InvalidInputError("the page is refused", [FieldViolation("page_token", description)])
