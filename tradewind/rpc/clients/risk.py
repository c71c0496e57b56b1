"""Typed client of the risk service."""

from tradewind.api.risk.v1 import risk_pb2, risk_pb2_grpc
from tradewind.risk import RiskInputs, RiskReport
from tradewind.rpc.clients.channel import Addresses
from tradewind.rpc.clients.client import Client, raise_ours
from tradewind.rpc.risk_codec import risk_inputs_to_message, risk_report_from_message

__all__ = ["RiskClient"]

_SERVICE = "tradewind.api.risk.v1.RiskService"
_RETRIED = ("CalculateOnly", "GetRiskPolicy", "ListDecisions")


class RiskClient(Client):
    """Calls the risk service.

    Args:
        address: `HOST:PORT` or `unix:PATH`; or several `IP:PORT`, with commas between or as a
            sequence, whose servers then get calls in turn.
        timeout_s: Deadline of a call, in seconds.
    """

    def __init__(self, address: Addresses, *, timeout_s: float = 5.0) -> None:
        super().__init__(address, _SERVICE, _RETRIED, timeout_s)
        self._stub = risk_pb2_grpc.RiskServiceStub(self._channel)

    def calculate_only(self, inputs: RiskInputs, *, request_id: str = "") -> RiskReport:
        """The metrics of an account, bit for bit those of `RiskAgentV2.calculate_only` here.

        Raises:
            RiskInputError: The inputs contradict each other; the violations name the fields.
            UnavailableError: The server is not ready, or drains.
        """
        request = risk_pb2.CalculateOnlyRequest(
            inputs=risk_inputs_to_message(inputs), request_id=request_id
        )
        with raise_ours():
            answer = self._stub.CalculateOnly(request, timeout=self._timeout_s)
        return risk_report_from_message(answer)

    def policy_digest(self) -> str:
        """Digest of the risk policy in force."""
        with raise_ours():
            request = risk_pb2.GetRiskPolicyRequest()
            return self._stub.GetRiskPolicy(request, timeout=self._timeout_s).policy_digest
