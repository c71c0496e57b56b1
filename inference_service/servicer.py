"""Transport of the inference service: messages in, predictions, messages out."""

import threading
from collections.abc import Iterator

import grpc
import numpy as np

from inference_service.convert import (
    latency_report,
    policy_version_message,
    quarantined_message,
    read_observation,
    read_observations,
)
from inference_service.registry import LoadedVersion, Registry
from inference_service.telemetry import Telemetry
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.errors import FieldViolation, InvalidInputError, OverloadedError

__all__ = ["InferenceServicer"]


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Answers the calls of InferenceService.

    Args:
        registry: What is served.
        telemetry: Where failures are counted.
        max_streams: Streams that may be open at once; each holds one of the server's threads.
    """

    def __init__(self, registry: Registry, telemetry: Telemetry, max_streams: int) -> None:
        self._registry = registry
        self._telemetry = telemetry
        self._max_streams = max_streams
        self._free_streams = threading.BoundedSemaphore(max_streams)

    def Predict(
        self, request: inference_pb2.PredictRequest, _context: grpc.ServicerContext
    ) -> inference_pb2.PredictResponse:
        """One observation in, one action out."""
        return self._predict(request)

    def PredictBatch(
        self, request: inference_pb2.PredictBatchRequest, _context: grpc.ServicerContext
    ) -> inference_pb2.PredictBatchResponse:
        """N observations in, N actions out."""
        version: LoadedVersion | None = None
        try:
            version = self._registry.resolve(request.policy, request.version, request.label)
            observations = read_observations(request, version.policy.metadata.obs_space)
            actions, info = version.predict_batch(
                observations, deterministic=not request.stochastic, seed=request.seed
            )
        except Exception as error:
            self._telemetry.prediction_failed(version, error)
            raise
        elapsed = info["model_compute_ns"]
        response = inference_pb2.PredictBatchResponse(
            policy=version.name,
            version=version.version,
            bundle_sha256=version.sha256,
            model_compute_ns=elapsed,
            slo_met=elapsed <= version.latencies.slo_ns,
            request_id=request.request_id,
        )
        if actions.dtype == np.int64:
            response.discrete.extend(actions.tolist())
        else:
            response.continuous.values.extend(actions.ravel().tolist())
        return response

    def PredictStream(
        self,
        request_iterator: Iterator[inference_pb2.PredictStreamRequest],
        _context: grpc.ServicerContext,
    ) -> Iterator[inference_pb2.PredictStreamResponse]:
        """One answer per request, in order; the first bad request ends the stream."""
        if not self._free_streams.acquire(blocking=False):
            raise OverloadedError(
                f"{self._max_streams} streams are open, which is the most allowed"
            )
        try:
            for request in request_iterator:
                if not request.HasField("predict"):
                    violation = FieldViolation("predict", "absent")
                    raise InvalidInputError("request is refused", [violation])
                yield inference_pb2.PredictStreamResponse(predict=self._predict(request.predict))
        finally:
            self._free_streams.release()

    def GetPolicy(
        self, request: inference_pb2.GetPolicyRequest, _context: grpc.ServicerContext
    ) -> inference_pb2.GetPolicyResponse:
        """One loaded version and its metadata.json."""
        version = self._registry.resolve(request.policy, request.version, request.label)
        return inference_pb2.GetPolicyResponse(
            policy_version=policy_version_message(
                version, self._registry.snapshot.labels_of(version)
            ),
            metadata_json=version.policy.metadata_json.decode(),
        )

    def ListPolicies(
        self, _request: inference_pb2.ListPoliciesRequest, _context: grpc.ServicerContext
    ) -> inference_pb2.ListPoliciesResponse:
        """Every loaded and every refused version."""
        snapshot = self._registry.snapshot
        return inference_pb2.ListPoliciesResponse(
            policy_versions=[
                policy_version_message(version, snapshot.labels_of(version))
                for version in snapshot.versions()
            ],
            quarantined_versions=[
                quarantined_message(version) for version in snapshot.quarantined.values()
            ],
        )

    def GetLatencyReport(
        self, request: inference_pb2.GetLatencyReportRequest, _context: grpc.ServicerContext
    ) -> inference_pb2.GetLatencyReportResponse:
        """Model compute of every loaded version, of one policy's versions, or of one version."""
        if request.policy or request.version:
            asked = self._registry.resolve(request.policy, request.version)
            siblings = self._registry.snapshot.loaded[asked.name].values()
            versions = [asked] if request.version else list(siblings)
        else:
            versions = list(self._registry.snapshot.versions())
        return inference_pb2.GetLatencyReportResponse(
            reports=[latency_report(version) for version in versions]
        )

    def _predict(self, request: inference_pb2.PredictRequest) -> inference_pb2.PredictResponse:
        version: LoadedVersion | None = None
        try:
            version = self._registry.resolve(request.policy, request.version, request.label)
            observation = read_observation(request, version.policy.metadata.obs_space)
            action, elapsed = version.predict(
                observation, deterministic=not request.stochastic, seed=request.seed
            )
        except Exception as error:
            self._telemetry.prediction_failed(version, error)
            raise
        response = inference_pb2.PredictResponse(
            policy=version.name,
            version=version.version,
            bundle_sha256=version.sha256,
            model_compute_ns=elapsed,
            slo_met=elapsed <= version.latencies.slo_ns,
            request_id=request.request_id,
        )
        if isinstance(action, int):
            response.discrete = action
        else:
            response.continuous.values.extend(action.ravel().tolist())
        return response
