"""Transport of the inference service: messages in, predictions, messages out."""

from collections.abc import Callable, Iterator
from typing import Final

import grpc

from inference_service.calls import BATCH, SINGLE
from inference_service.prediction import Predictor
from inference_service.registry import Registry
from inference_service.routing import RoutingFollower, ShadowRunner
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.errors import FieldViolation, InvalidInputError
from tradewind.rpc.access import Identity, proven_name
from tradewind.rpc.codecs.field_paths import renamed
from tradewind.rpc.codecs.inference import (
    LATENCY_REPORT,
    POLICY_DESCRIPTION,
    ROLLBACK,
    SHADOW_ANSWER,
    write_listing,
    write_routing,
)
from tradewind.serving import PolicyDescription, PolicyListing

__all__ = ["InferenceServicer"]

_DEFAULT_LIMIT: Final = 100
_MAX_LIMIT: Final = 1_000


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Answers the calls of InferenceService.

    Args:
        registry: What is served.
        predictor: Answers the calls that predict.
        routing: What is routed.
        shadows: What shadows answered.
        caller_of: Who makes a call; None where nobody can tell.
    """

    def __init__(
        self,
        registry: Registry,
        predictor: Predictor,
        routing: RoutingFollower,
        shadows: ShadowRunner,
        caller_of: Callable[[grpc.ServicerContext], Identity | None],
    ) -> None:
        self._registry = registry
        self._predictor = predictor
        self._caller_of = caller_of
        self._routing = routing
        self._shadows = shadows

    def Predict(
        self, request: inference_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> inference_pb2.PredictResponse:
        """One observation in, one action out."""
        return self._predictor.predict(SINGLE, request, context.is_active)

    def PredictBatch(
        self, request: inference_pb2.PredictBatchRequest, context: grpc.ServicerContext
    ) -> inference_pb2.PredictBatchResponse:
        """N observations in, N actions out."""
        return self._predictor.predict(BATCH, request, context.is_active)

    def PredictStream(
        self,
        request_iterator: Iterator[inference_pb2.PredictStreamRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[inference_pb2.PredictStreamResponse]:
        """One answer per request, in order; the first bad request ends the stream."""
        for request in request_iterator:
            if not request.HasField("predict"):
                violation = FieldViolation("predict", "absent")
                raise InvalidInputError("request is refused", [violation])
            try:
                answer = self._predictor.predict(SINGLE, request.predict, context.is_active)
            except InvalidInputError as error:
                raise renamed(error, lambda field: f"predict.{field}") from None
            yield inference_pb2.PredictStreamResponse(predict=answer)

    def GetPolicy(
        self, request: inference_pb2.GetPolicyRequest, _context: grpc.ServicerContext
    ) -> inference_pb2.GetPolicyResponse:
        """One loaded version and its metadata.json."""
        version = self._predictor.describe(request.policy, request.version, request.label)
        described = self._registry.snapshot.describe(version)
        answer: inference_pb2.GetPolicyResponse = POLICY_DESCRIPTION.write(
            PolicyDescription(described, version.policy.metadata_json.decode())
        )
        return answer

    def ListPolicies(
        self, _request: inference_pb2.ListPoliciesRequest, _context: grpc.ServicerContext
    ) -> inference_pb2.ListPoliciesResponse:
        """Every loaded and every refused version."""
        snapshot = self._registry.snapshot
        listing = PolicyListing(
            tuple(map(snapshot.describe, snapshot.versions())),
            tuple(snapshot.quarantined.values()),
            self._routing.view.routing(),
        )
        return write_listing(listing)

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
            reports=[LATENCY_REPORT.write(version.latency_report()) for version in versions]
        )

    def GetRouting(
        self, request: inference_pb2.GetRoutingRequest, _context: grpc.ServicerContext
    ) -> inference_pb2.GetRoutingResponse:
        """Every variant, or those of one policy, and what was rolled back."""
        routing = self._routing.view.routing(request.policy)
        return inference_pb2.GetRoutingResponse(routing=write_routing(routing))

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
        return inference_pb2.RollBackVariantResponse(rollback=ROLLBACK.write(rollback))

    def ReinstateVariant(
        self, request: inference_pb2.ReinstateVariantRequest, context: grpc.ServicerContext
    ) -> inference_pb2.ReinstateVariantResponse:
        """Lets a variant have its share again."""
        name = proven_name(self._caller_of(context), request.name)
        rollback = self._routing.reinstate(
            request.policy, request.variant, name=name, reason=request.reason
        )
        return inference_pb2.ReinstateVariantResponse(rollback=ROLLBACK.write(rollback))

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
            shadow_answers=map(SHADOW_ANSWER.write, answers)
        )
