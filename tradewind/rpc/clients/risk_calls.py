"""The calls of the risk service: their requests, and what their answers say."""

from tradewind.api.risk.v1 import risk_pb2, risk_pb2_grpc
from tradewind.risk import RiskInputs, RiskReport
from tradewind.risk.decision import DecisionRecord, Evaluation, RiskPolicyStatus
from tradewind.risk.pretrade import IntendedOrder
from tradewind.rpc.clients.call import Call, Exchange, Page, Service
from tradewind.rpc.risk.decision_codec import (
    DECISION,
    INTENDED_ORDER,
    POLICY_STATUS,
    read_evaluation,
)
from tradewind.rpc.risk.risk_codec import add_risk_inputs, risk_report_from_message

__all__ = [
    "CALCULATE_STREAM",
    "SERVICE",
    "calculate_only",
    "evaluate",
    "get_policy",
    "list_decisions",
    "resume",
    "update",
]

SERVICE = Service(
    full_name="tradewind.api.risk.v1.RiskService",
    stub=risk_pb2_grpc.RiskServiceStub,
    # Not Evaluate and not Resume: each decision is recorded, and a window counts it.
    retried_methods=("CalculateOnly", "GetRiskPolicy", "ListDecisions"),
    timeout_s=5.0,
)

CALCULATE_STREAM = Exchange(
    "CalculateStream",
    wrap=lambda request: risk_pb2.CalculateStreamRequest(
        increment=request.inputs, request_id=request.request_id
    ),
    unwrap=lambda answer: answer.result,
)


def calculate_only(
    inputs: RiskInputs, *, request_id: str = "", timeout_s: float | None = None
) -> Call[RiskReport]:
    """The metrics of an account, bit for bit those of `RiskAgentV2.calculate_only` here.

    Args:
        inputs: The account's state.
        request_id: The caller's own name for the request.
        timeout_s: Deadline in seconds; the client's own by default.

    Raises:
        RiskInputError: The inputs contradict each other; the violations name the fields.
        UnavailableError: The server is not ready, or cannot be reached.
    """
    request = risk_pb2.CalculateOnlyRequest(request_id=request_id)
    add_risk_inputs(request.inputs, inputs)
    return Call("CalculateOnly", request, risk_report_from_message, timeout_s)


def update(
    increment: RiskInputs, *, request_id: str = "", timeout_s: float | None = None
) -> Call[RiskReport]:
    """Sends what is new; gives the metrics of all that was sent, as `RiskTracker.update` does here.

    Args:
        increment: What is new since the last update; the first may be a whole history.
        request_id: The caller's own name for the request.
        timeout_s: Deadline of this update in seconds; the client's own by default.

    Raises:
        RiskInputError: The increment contradicts itself or what came before; the stream has ended.
        UnavailableError: The server cannot be reached, or drains.
    """
    return calculate_only(increment, request_id=request_id, timeout_s=timeout_s)


def evaluate(
    inputs: RiskInputs,
    *,
    account: str = "",
    order: IntendedOrder | None = None,
    request_id: str = "",
    timeout_s: float | None = None,
) -> Call[Evaluation]:
    """What an account must do, by the rules; recorded before it is answered.

    An Evaluate is never sent twice, for each is a decision of its own. After an error there is
    none, as far as the caller can know, and it must not trade.

    Args:
        inputs: The account's state.
        account: The account; empty for "default".
        order: An order that it intends to send.
        request_id: The caller's own name for the request.
        timeout_s: Deadline in seconds; the client's own by default.

    Raises:
        RiskInputError: The inputs contradict each other; the violations name the fields. An order
            that cannot be one is answered with BLOCK, and the check of it says why.
        UnavailableError: The server is not ready, or cannot be reached.
        StorageError: The decision cannot be recorded, so there is none.
        OverloadedError: It would be one account or one call too many.
    """
    request = risk_pb2.EvaluateRequest(
        request_id=request_id,
        account=account,
        intended_order=INTENDED_ORDER.write(order),
    )
    add_risk_inputs(request.inputs, inputs)
    return Call("Evaluate", request, read_evaluation, timeout_s)


def resume(
    account: str, *, reason: str, name: str = "", role: str = "", timeout_s: float | None = None
) -> Call[str]:
    """Clears the halt of an account; gives the id of that decision in the audit trail.

    Args:
        account: The account.
        reason: Why.
        name: Who resumes it; a service with an access policy knows, and refuses another name.
        role: In which role; likewise.
        timeout_s: Deadline in seconds; the client's own by default.

    Raises:
        InvalidInputError: Something is missing, or the role may not resume.
        PermissionDeniedError: The access policy has no such role for the caller, or another name.
        ConflictError: The account is not known or not halted.
        StorageError: It cannot be recorded, so the account stays halted.
        UnavailableError: The server cannot be reached; whether it resumed is not known.
    """
    request = risk_pb2.ResumeRequest(account=account, name=name, role=role, reason=reason)
    return Call("Resume", request, lambda answer: str(answer.decision_id), timeout_s)


def get_policy(*, timeout_s: float | None = None) -> Call[RiskPolicyStatus]:
    """The risk policy in force."""
    request = risk_pb2.GetRiskPolicyRequest()
    return Call("GetRiskPolicy", request, POLICY_STATUS.read, timeout_s)


def list_decisions(
    *, account: str = "", page_size: int = 0, timeout_s: float | None = None
) -> Call[Page[DecisionRecord]]:
    """The audit trail, newest first.

    Args:
        account: Only this account's decisions; empty for all accounts.
        page_size: Decisions that one call brings; 0 for the server's choice.
        timeout_s: Deadline of each of these calls in seconds; the client's own by default.

    Raises:
        InvalidInputError: The page size is negative.
        StorageError: The trail cannot be read now.
    """
    request = risk_pb2.ListDecisionsRequest(account=account, page_size=page_size)
    return Call("ListDecisions", request, _decision_page, timeout_s)


def _decision_page(answer: risk_pb2.ListDecisionsResponse) -> Page[DecisionRecord]:
    rows = tuple(DECISION.read(message) for message in answer.decisions)
    return Page(rows, answer.next_page_token)
