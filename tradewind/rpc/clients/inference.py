"""Typed client of the inference service."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.rpc.clients.channel import Addresses
from tradewind.rpc.clients.client import Client, raise_ours

__all__ = ["InferenceClient", "Prediction"]

_SERVICE = "tradewind.api.inference.v1.InferenceService"
_RETRIED = ("Predict", "PredictBatch", "GetPolicy", "ListPolicies", "GetLatencyReport")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of the inference service.

    Attributes:
        action: Index of a discrete action, or the values of a continuous one.
        policy: Policy that gave it.
        version: Version that gave it.
        bundle_sha256: Digest of the network that gave it.
        model_compute_ns: Time of the network alone, in the server.
        slo_met: The server's verdict on that time.
    """

    action: int | NDArray[np.float32]
    policy: str
    version: str
    bundle_sha256: str
    model_compute_ns: int
    slo_met: bool


class InferenceClient(Client):
    """Calls the inference service.

    Args:
        address: `HOST:PORT` or `unix:PATH`; or several `IP:PORT`, with commas between or as a
            sequence, whose servers then get calls in turn.
        timeout_s: Deadline of a call, in seconds.
    """

    def __init__(self, address: Addresses, *, timeout_s: float = 5.0) -> None:
        super().__init__(address, _SERVICE, _RETRIED, timeout_s)
        self._stub = inference_pb2_grpc.InferenceServiceStub(self._channel)

    def predict(
        self,
        observation: NDArray[np.float32],
        *,
        policy: str = "",
        version: str = "",
        seed: int | None = None,
        request_id: str = "",
    ) -> Prediction:
        """One observation in, one action out.

        Args:
            observation: Shape of the policy's observation space.
            policy: Name of the policy; may be empty when the server serves exactly one.
            version: Version; empty for the served one.
            seed: Samples the action reproducibly; the mode of the distribution without.
            request_id: Written to the server's log.

        Raises:
            ObservationError: Wrong shape, or a value is not finite.
            NotFoundError: Unknown policy or version.
            UnavailableError: Nothing is served yet, or the server drains.
        """
        request = inference_pb2.PredictRequest(
            policy=policy,
            version=version,
            values_f32_le=np.ascontiguousarray(observation, dtype="<f4").tobytes(),
            stochastic=seed is not None,
            seed=seed or 0,
            request_id=request_id,
        )
        with raise_ours():
            answer = self._stub.Predict(request, timeout=self._timeout_s)
        return _prediction(answer)

    def list_policies(self) -> inference_pb2.ListPoliciesResponse:
        """Every loaded version, and every version that was refused with its reason."""
        with raise_ours():
            request = inference_pb2.ListPoliciesRequest()
            return self._stub.ListPolicies(request, timeout=self._timeout_s)

    def get_policy(self, policy: str, version: str = "") -> inference_pb2.GetPolicyResponse:
        """A policy's spaces and metadata.

        Raises:
            NotFoundError: Unknown policy or version.
        """
        with raise_ours():
            request = inference_pb2.GetPolicyRequest(policy=policy, version=version)
            return self._stub.GetPolicy(request, timeout=self._timeout_s)

    def latency_reports(self, policy: str = "") -> list[inference_pb2.LatencyReport]:
        """Model-compute latency per loaded version, as the server measured it."""
        with raise_ours():
            request = inference_pb2.GetLatencyReportRequest(policy=policy)
            return list(self._stub.GetLatencyReport(request, timeout=self._timeout_s).reports)


def _prediction(answer: inference_pb2.PredictResponse) -> Prediction:
    action: Any = answer.discrete
    if answer.WhichOneof("action") == "continuous":
        action = np.array(answer.continuous.values, dtype=np.float32)
    return Prediction(
        action=action,
        policy=answer.policy,
        version=answer.version,
        bundle_sha256=answer.bundle_sha256,
        model_compute_ns=answer.model_compute_ns,
        slo_met=answer.slo_met,
    )
