"""Transport of the inference service: messages in, predictions, messages out."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc
import numpy as np
from numpy.typing import NDArray

from inference_service.convert import (
    in_request,
    latency_report,
    policy_version_message,
    quarantined_message,
    read_observation,
    read_observations,
)
from inference_service.dispatch import Dispatcher
from inference_service.registry import LoadedVersion, Registry
from inference_service.routing import RoutingFollower, ShadowRunner, Variant
from inference_service.routing.convert import (
    rollback_message,
    routing_message,
    shadow_answer_message,
)
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.errors import (
    FieldViolation,
    InvalidInputError,
    ObservationError,
    OverloadedError,
)
from tradewind.rpc.access import Identity, proven_name
from tradewind.rpc.field_paths import renamed

__all__ = ["InferenceServicer"]

_DEFAULT_LIMIT: Final = 100
_MAX_LIMIT: Final = 1_000


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Answers the calls of InferenceService.

    Args:
        registry: What is served.
        dispatcher: Finds who answers.
        routing: What is routed.
        shadows: What shadows answered.
        max_streams: Streams that may be open at once; each holds one of the server's threads.
        caller_of: Who makes a call; None where nobody can tell.
    """

    def __init__(
        self,
        registry: Registry,
        dispatcher: Dispatcher,
        routing: RoutingFollower,
        shadows: ShadowRunner,
        max_streams: int,
        caller_of: Callable[[grpc.ServicerContext], Identity | None],
    ) -> None:
        self._registry = registry
        self._dispatcher = dispatcher
        self._caller_of = caller_of
        self._routing = routing
        self._shadows = shadows
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
        variant: Variant | None = None
        try:
            version, variant = self._dispatcher.resolve(
                request.policy, request.version, request.label, request.routing_key
            )
            observations = read_observations(request, version.policy.metadata.obs_space)
            actions, info = version.predict_batch(
                observations, deterministic=not request.stochastic, seed=request.seed
            )
        except Exception as error:
            self._dispatcher.failed(version, variant, error)
            if version is not None and isinstance(error, ObservationError):
                raise in_request(error, request, version.policy.metadata.obs_space) from None
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
        if variant is not None:
            response.variant = variant.name
            self._book(variant, elapsed, observations, actions, request)
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
                try:
                    answer = self._predict(request.predict)
                except InvalidInputError as error:
                    raise renamed(error, lambda field: f"predict.{field}") from None
                yield inference_pb2.PredictStreamResponse(predict=answer)
        finally:
            self._free_streams.release()

    def GetPolicy(
        self, request: inference_pb2.GetPolicyRequest, _context: grpc.ServicerContext
    ) -> inference_pb2.GetPolicyResponse:
        """One loaded version and its metadata.json."""
        version = self._dispatcher.describe(request.policy, request.version, request.label)
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
            routing=routing_message(self._routing.view),
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

    def GetRouting(
        self, request: inference_pb2.GetRoutingRequest, _context: grpc.ServicerContext
    ) -> inference_pb2.GetRoutingResponse:
        """Every variant, or those of one policy, and what was rolled back."""
        routing = routing_message(self._routing.view, request.policy)
        return inference_pb2.GetRoutingResponse(routing=routing)

    def RollBackVariant(
        self, request: inference_pb2.RollBackVariantRequest, context: grpc.ServicerContext
    ) -> inference_pb2.RollBackVariantResponse:
        """Takes a variant out."""
        # Never refused for the name it claims: taking a variant out is the safe direction.
        caller = self._caller_of(context)
        name = request.name if caller is None else caller.name
        rollback = self._routing.roll_back(
            request.policy, request.variant, name=name, reason=request.reason
        )
        return inference_pb2.RollBackVariantResponse(rollback=rollback_message(rollback))

    def ReinstateVariant(
        self, request: inference_pb2.ReinstateVariantRequest, context: grpc.ServicerContext
    ) -> inference_pb2.ReinstateVariantResponse:
        """Lets a variant have its share again."""
        name = proven_name(self._caller_of(context), request.name)
        rollback = self._routing.reinstate(
            request.policy, request.variant, name=name, reason=request.reason
        )
        return inference_pb2.ReinstateVariantResponse(rollback=rollback_message(rollback))

    def ListShadowAnswers(
        self, request: inference_pb2.ListShadowAnswersRequest, _context: grpc.ServicerContext
    ) -> inference_pb2.ListShadowAnswersResponse:
        """The latest answers of shadows."""
        if request.limit < 0:
            violation = FieldViolation("limit", f"{request.limit} instead of 0 or more")
            raise InvalidInputError("request is refused", [violation])
        answers = self._shadows.answers(
            request.policy,
            request.shadow,
            differing_only=request.differing_only,
            limit=min(request.limit or _DEFAULT_LIMIT, _MAX_LIMIT),
        )
        return inference_pb2.ListShadowAnswersResponse(
            shadow_answers=map(shadow_answer_message, answers)
        )

    def _predict(self, request: inference_pb2.PredictRequest) -> inference_pb2.PredictResponse:
        version: LoadedVersion | None = None
        variant: Variant | None = None
        try:
            version, variant = self._dispatcher.resolve(
                request.policy, request.version, request.label, request.routing_key
            )
            observation = read_observation(request, version.policy.metadata.obs_space)
            action, elapsed = version.predict(
                observation, deterministic=not request.stochastic, seed=request.seed
            )
        except Exception as error:
            self._dispatcher.failed(version, variant, error)
            if version is not None and isinstance(error, ObservationError):
                raise in_request(error, request, version.policy.metadata.obs_space) from None
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
        if variant is not None:
            response.variant = variant.name
            self._book(variant, elapsed, observation[np.newaxis], np.array([action]), request)
        return response

    def _book(
        self,
        variant: Variant,
        model_compute_ns: int,
        observations: NDArray[np.float32],
        actions: NDArray[Any],
        request: inference_pb2.PredictRequest | inference_pb2.PredictBatchRequest,
    ) -> None:
        self._dispatcher.answered(
            variant,
            model_compute_ns,
            observations,
            actions,
            stochastic=request.stochastic,
            seed=request.seed,
            request_id=request.request_id,
            routing_key=request.routing_key,
        )
