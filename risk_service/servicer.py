"""Transport of the risk service: messages in, domain calls, messages out."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from risk_service.actor import resuming_actor
from risk_service.audit.decision import record_of
from risk_service.audit.trail import AuditTrail
from risk_service.evaluation import Evaluator
from risk_service.policy_source import PolicySource
from risk_service.requests import read_inputs, read_page_token, write_page_token
from risk_service.telemetry import Telemetry
from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import (
    FieldViolation,
    InvalidInputError,
    RiskInputError,
)
from tradewind.logs import current_request_id
from tradewind.risk.engine.reporting import Calculation
from tradewind.rpc.access import Identity
from tradewind.rpc.codecs.field_paths import renamed, risk_field
from tradewind.rpc.risk.decision_codec import (
    DECISION,
    INTENDED_ORDER,
    POLICY_STATUS,
    write_evaluation,
    write_halt,
)
from tradewind.rpc.risk.risk_answer import AnswerWriter
from tradewind.rpc.risk.risk_wire import RiskRequest, request_decoder

__all__ = ["RiskServicer", "add_to_server"]

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 200
_METRICS = risk_pb2.EvaluateResponse.METRICS_FIELD_NUMBER
_RESULT = risk_pb2.CalculateStreamResponse.RESULT_FIELD_NUMBER


class RiskServicer:
    """Answers the calls of RiskService; those that carry RiskInputs take a RiskRequest.

    Args:
        policies: The policy in force.
        evaluator: Makes decisions.
        trail: The decisions made.
        telemetry: What is counted.
        caller_of: Who makes a call; None where nobody can tell.
        max_series_values: Longest series that a request may carry.
    """

    def __init__(
        self,
        policies: PolicySource,
        evaluator: Evaluator,
        trail: AuditTrail,
        telemetry: Telemetry,
        *,
        caller_of: Callable[[grpc.ServicerContext], Identity | None],
        max_series_values: int,
    ) -> None:
        self._policies = policies
        self._evaluator = evaluator
        self._trail = trail
        self._telemetry = telemetry
        self._caller_of = caller_of
        self._max_series_values = max_series_values
        self._answers = AnswerWriter()

    def CalculateOnly(
        self, request: RiskRequest[risk_pb2.CalculateOnlyRequest], _context: grpc.ServicerContext
    ) -> bytes:
        """Metrics of one snapshot: a serialized CalculateOnlyResponse."""
        agent, scanned = self._policies.current.agent, request.scanned
        try:
            if scanned is None or scanned.longest > self._max_series_values:
                inputs = read_inputs(request, self._max_series_values)
                calculation, compute_ns = self._time(agent.calculate, inputs)
            else:
                calculation, compute_ns = self._time(
                    agent.calculate_arrays, scanned.arrays(), scanned.names(), scanned.inputs
                )
        except RiskInputError as problem:
            raise _in_request(problem, request) from None
        request_id = request.message.request_id
        return self._answers.write(calculation, compute_ns=compute_ns, request_id=request_id)

    def CalculateStream(
        self,
        request_iterator: Iterator[RiskRequest[risk_pb2.CalculateStreamRequest]],
        _context: grpc.ServicerContext,
    ) -> Iterator[bytes]:
        """Metrics of an account that grows, under the policy in force when the stream began.

        Yields serialized CalculateStreamResponses.
        """
        calculate = self._policies.current.agent.tracker().calculate
        for request in request_iterator:
            try:
                increment = read_inputs(request, self._max_series_values)
                calculation, compute_ns = self._time(calculate, increment)
            except RiskInputError as problem:
                raise _in_request(problem, request) from None
            request_id = request.message.request_id
            yield self._answers.write_nested(
                calculation, compute_ns=compute_ns, request_id=request_id, field=_RESULT
            )

    def Evaluate(
        self, request: RiskRequest[risk_pb2.EvaluateRequest], _context: grpc.ServicerContext
    ) -> bytes:
        """What the account must do, durable when it is answered: an EvaluateResponse's bytes."""
        message = request.message
        try:
            evaluation = self._evaluator.evaluate(
                message.account,
                read_inputs(request, self._max_series_values),
                INTENDED_ORDER.read(message.intended_order)
                if message.HasField("intended_order")
                else None,
                message.request_id or current_request_id(),
            )
        except RiskInputError as problem:
            raise _in_request(problem, request) from None
        decision = evaluation.decision
        metrics = self._answers.write_nested(
            evaluation.calculation,
            compute_ns=evaluation.compute_ns,
            request_id=decision.request_id,
            field=_METRICS,
        )
        return write_evaluation(decision, metrics)

    def GetRiskPolicy(
        self, _request: risk_pb2.GetRiskPolicyRequest, _context: grpc.ServicerContext
    ) -> risk_pb2.GetRiskPolicyResponse:
        """The policy in force."""
        answer: risk_pb2.GetRiskPolicyResponse = POLICY_STATUS.write(self._policies.status)
        return answer

    def Resume(
        self, request: risk_pb2.ResumeRequest, context: grpc.ServicerContext
    ) -> risk_pb2.ResumeResponse:
        """Clears a halt."""
        name, role = resuming_actor(self._caller_of(context), request.name, request.role)
        decision = self._evaluator.resume(request.account, name, role, request.reason)
        return risk_pb2.ResumeResponse(
            halt=write_halt(decision.halt), decision_id=decision.decision_id
        )

    def ListDecisions(
        self, request: risk_pb2.ListDecisionsRequest, _context: grpc.ServicerContext
    ) -> risk_pb2.ListDecisionsResponse:
        """The audit trail, newest first."""
        if request.page_size < 0:
            violation = FieldViolation("page_size", "must not be negative")
            raise InvalidInputError("the page is refused", [violation])
        before = read_page_token(request.page_token, request.account)
        size = min(request.page_size or _DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE)
        rows = self._trail.page(request.account, before, size)
        # Rows are numbered from 1 without a gap, so a page that reaches 1 is the last of any.
        more = bool(rows) and rows[-1].sequence > 1
        return risk_pb2.ListDecisionsResponse(
            decisions=[DECISION.write(record_of(row)) for row in rows],
            next_page_token=write_page_token(request.account, rows[-1].sequence) if more else "",
        )

    def _time(
        self, calculate: Callable[..., Calculation], *account: object
    ) -> tuple[Calculation, int]:
        """Calculates; gives the nanoseconds that it took, too."""
        started = time.perf_counter_ns()
        calculation = calculate(*account)
        compute_ns = time.perf_counter_ns() - started
        self._telemetry.observe_calculation(compute_ns * 1e-9)
        return calculation, compute_ns


def _in_request(problem: RiskInputError, request: RiskRequest[Any]) -> InvalidInputError:
    return renamed(problem, lambda field: risk_field(field, request.inputs_field))


def _serialize(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def add_to_server(servicer: RiskServicer, server: grpc.Server) -> None:
    """Registers every method, as the generated add_RiskServiceServicer_to_server would."""
    service = risk_pb2.DESCRIPTOR.services_by_name["RiskService"]
    decoders: dict[str, Callable[[bytes], Any]] = {
        "CalculateOnly": request_decoder(risk_pb2.CalculateOnlyRequest),
        "CalculateStream": request_decoder(risk_pb2.CalculateStreamRequest),
        "Evaluate": request_decoder(risk_pb2.EvaluateRequest),
    }
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method in service.methods:
        make = (
            grpc.stream_stream_rpc_method_handler
            if method.client_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        handlers[method.name] = make(
            getattr(servicer, method.name),
            request_deserializer=decoders.get(
                method.name, GetMessageClass(method.input_type).FromString
            ),
            response_serializer=_serialize,
        )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service.full_name, handlers),)
    )
    server.add_registered_method_handlers(service.full_name, handlers)
