"""Transport of the risk service: messages in, domain calls, messages out."""

import time

import grpc

from risk_service.codec import read_inputs, write_policy
from risk_service.policy_source import PolicySource
from risk_service.telemetry import Telemetry
from tradewind.api.risk.v1 import risk_pb2, risk_pb2_grpc
from tradewind.rpc import risk_report_to_message

__all__ = ["RiskServicer"]


class RiskServicer(risk_pb2_grpc.RiskServiceServicer):
    """Answers the calls of RiskService.

    Args:
        policies: The policy in force.
        telemetry: What is counted.
        max_series_values: Longest series that a request may carry.
    """

    def __init__(
        self, policies: PolicySource, telemetry: Telemetry, max_series_values: int
    ) -> None:
        self._policies = policies
        self._telemetry = telemetry
        self._max_series_values = max_series_values

    def CalculateOnly(
        self, request: risk_pb2.CalculateOnlyRequest, _context: grpc.ServicerContext
    ) -> risk_pb2.CalculateOnlyResponse:
        """Metrics of one snapshot."""
        inputs = read_inputs(request.inputs, self._max_series_values)
        started = time.perf_counter_ns()
        report = self._policies.current.agent.calculate_only(inputs)
        elapsed_ns = time.perf_counter_ns() - started
        self._telemetry.observe_calculation(elapsed_ns * 1e-9)
        return risk_report_to_message(report, compute_ns=elapsed_ns, request_id=request.request_id)

    def GetRiskPolicy(
        self, _request: risk_pb2.GetRiskPolicyRequest, _context: grpc.ServicerContext
    ) -> risk_pb2.GetRiskPolicyResponse:
        """The policy in force."""
        return write_policy(self._policies.current, self._policies.refusal)
