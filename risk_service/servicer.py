"""Transport of the risk service: messages in, domain calls, messages out."""

import threading
import time
from collections.abc import Callable, Iterator

import grpc

from risk_service import codec
from risk_service.audit.trail import AuditTrail
from risk_service.evaluation import Evaluator
from risk_service.policy_source import PolicySource
from risk_service.telemetry import Telemetry
from tradewind.api.risk.v1 import risk_pb2, risk_pb2_grpc
from tradewind.errors import FieldViolation, InvalidInputError, OverloadedError
from tradewind.risk import RiskInputs, RiskReport
from tradewind.rpc.decision_codec import halt_to_message
from tradewind.rpc.risk_codec import risk_report_to_message

__all__ = ["RiskServicer"]

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 200


class RiskServicer(risk_pb2_grpc.RiskServiceServicer):
    """Answers the calls of RiskService.

    Args:
        policies: The policy in force.
        evaluator: Makes decisions.
        trail: The decisions made.
        telemetry: What is counted.
        max_series_values: Longest series that a request may carry.
        max_streams: How many streams may be open.
    """

    def __init__(
        self,
        policies: PolicySource,
        evaluator: Evaluator,
        trail: AuditTrail,
        telemetry: Telemetry,
        *,
        max_series_values: int,
        max_streams: int,
    ) -> None:
        self._policies = policies
        self._evaluator = evaluator
        self._trail = trail
        self._telemetry = telemetry
        self._max_series_values = max_series_values
        self._free_streams = threading.Semaphore(max_streams)

    def CalculateOnly(
        self, request: risk_pb2.CalculateOnlyRequest, _context: grpc.ServicerContext
    ) -> risk_pb2.CalculateOnlyResponse:
        """Metrics of one snapshot."""
        inputs = codec.read_inputs(request.inputs, self._max_series_values)
        calculate = self._policies.current.agent.calculate_only
        return self._calculate(calculate, inputs, request.request_id)

    def CalculateStream(
        self,
        request_iterator: Iterator[risk_pb2.CalculateStreamRequest],
        _context: grpc.ServicerContext,
    ) -> Iterator[risk_pb2.CalculateStreamResponse]:
        """Metrics of an account that grows, under the policy in force when the stream began."""
        # Every open stream holds a thread; the calls that guard trading must find one.
        if not self._free_streams.acquire(blocking=False):
            raise OverloadedError("as many streams are open as are allowed")
        try:
            update = self._policies.current.agent.tracker().update
            for request in request_iterator:
                increment = codec.read_inputs(request.increment, self._max_series_values)
                result = self._calculate(update, increment, request.request_id)
                yield risk_pb2.CalculateStreamResponse(result=result)
        finally:
            self._free_streams.release()

    def Evaluate(
        self, request: risk_pb2.EvaluateRequest, _context: grpc.ServicerContext
    ) -> risk_pb2.EvaluateResponse:
        """What the account must do; durable when it is answered."""
        evaluation = self._evaluator.evaluate(
            request.account,
            codec.read_inputs(request.inputs, self._max_series_values),
            codec.read_order(request),
            request.request_id,
        )
        return codec.write_evaluation(evaluation)

    def GetRiskPolicy(
        self, _request: risk_pb2.GetRiskPolicyRequest, _context: grpc.ServicerContext
    ) -> risk_pb2.GetRiskPolicyResponse:
        """The policy in force."""
        return codec.write_policy(self._policies.current, self._policies.refusal)

    def Resume(
        self, request: risk_pb2.ResumeRequest, _context: grpc.ServicerContext
    ) -> risk_pb2.ResumeResponse:
        """Clears a halt."""
        decision = self._evaluator.resume(
            request.account, request.name, request.role, request.reason
        )
        return risk_pb2.ResumeResponse(
            halt=halt_to_message(decision.halt), decision_id=decision.decision_id
        )

    def ListDecisions(
        self, request: risk_pb2.ListDecisionsRequest, _context: grpc.ServicerContext
    ) -> risk_pb2.ListDecisionsResponse:
        """The audit trail, newest first."""
        if request.page_size < 0:
            violation = FieldViolation("page_size", "must not be negative")
            raise InvalidInputError("the page is refused", [violation])
        before = codec.read_page_token(request.page_token, request.account)
        size = min(request.page_size or _DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE)
        rows = self._trail.page(request.account, before, size)
        # Rows are numbered from 1 without a gap, so a page that reaches 1 is the last of any.
        more = bool(rows) and rows[-1].sequence > 1
        return risk_pb2.ListDecisionsResponse(
            decisions=[codec.write_row(row) for row in rows],
            next_page_token=codec.write_page_token(request.account, rows[-1].sequence)
            if more
            else "",
        )

    def _calculate(
        self, calculate: Callable[[RiskInputs], RiskReport], inputs: RiskInputs, request_id: str
    ) -> risk_pb2.CalculateOnlyResponse:
        started = time.perf_counter_ns()
        report = calculate(inputs)
        compute_ns = time.perf_counter_ns() - started
        self._telemetry.observe_calculation(compute_ns * 1e-9)
        return risk_report_to_message(report, compute_ns=compute_ns, request_id=request_id)
