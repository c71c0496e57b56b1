"""Transport: messages of the Open Inference Protocol in, a batch of predictions, messages out."""

from collections.abc import Callable

import grpc

from inference_service.open_inference.call import INFER
from inference_service.open_inference.descriptions import (
    model_config,
    model_metadata,
    model_statistics,
    repository_index,
)
from inference_service.prediction import Predictor
from inference_service.registry import Registry
from tradewind import __version__
from tradewind.api.open_inference import grpc_predict_v2_pb2 as messages
from tradewind.api.open_inference import grpc_predict_v2_pb2_grpc
from tradewind.errors import FieldViolation, InvalidInputError, NotFoundError, UnavailableError

__all__ = ["OpenInferenceServicer"]


class OpenInferenceServicer(grpc_predict_v2_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers the calls of GRPCInferenceService.

    Args:
        registry: What is served.
        predictor: Answers the calls that predict.
        is_serving: What the server's health says.
    """

    def __init__(
        self, registry: Registry, predictor: Predictor, is_serving: Callable[[], bool]
    ) -> None:
        self._registry = registry
        self._predictor = predictor
        self._is_serving = is_serving

    def ServerLive(
        self, _request: messages.ServerLiveRequest, _context: grpc.ServicerContext
    ) -> messages.ServerLiveResponse:
        """True, or there is no answer."""
        return messages.ServerLiveResponse(live=True)

    def ServerReady(
        self, _request: messages.ServerReadyRequest, _context: grpc.ServicerContext
    ) -> messages.ServerReadyResponse:
        """The server's health."""
        return messages.ServerReadyResponse(ready=self._is_serving())

    def ModelReady(
        self, request: messages.ModelReadyRequest, _context: grpc.ServicerContext
    ) -> messages.ModelReadyResponse:
        """Whether a policy answers; clients ask until it does, so an unknown one is no error."""
        try:
            self._predictor.describe(request.name, request.version)
        except (NotFoundError, UnavailableError):
            return messages.ModelReadyResponse(ready=False)
        return messages.ModelReadyResponse(ready=True)

    def ServerMetadata(
        self, _request: messages.ServerMetadataRequest, _context: grpc.ServicerContext
    ) -> messages.ServerMetadataResponse:
        """Name and release."""
        return messages.ServerMetadataResponse(name="tradewind", version=__version__)

    def ModelMetadata(
        self, request: messages.ModelMetadataRequest, _context: grpc.ServicerContext
    ) -> messages.ModelMetadataResponse:
        """The tensors of a version, and the loaded versions of its policy."""
        snapshot = self._registry.snapshot
        version = self._predictor.describe(request.name, request.version)
        return model_metadata(version, snapshot.loaded.get(version.name, ()))

    def ModelConfig(
        self, request: messages.ModelConfigRequest, _context: grpc.ServicerContext
    ) -> messages.ModelConfigResponse:
        """The tensors of a version, as Triton's configuration has them."""
        return model_config(self._predictor.describe(request.name, request.version))

    def ModelStatistics(
        self, request: messages.ModelStatisticsRequest, _context: grpc.ServicerContext
    ) -> messages.ModelStatisticsResponse:
        """How often every loaded version was asked, those of one policy, or one version."""
        snapshot = self._registry.snapshot
        if not request.name and not request.version:
            return model_statistics(snapshot.versions())
        asked = self._registry.resolve(request.name, request.version)
        siblings = snapshot.loaded.get(asked.name, {}).values()
        return model_statistics([asked] if request.version else siblings)

    def ModelInfer(
        self, request: messages.ModelInferRequest, context: grpc.ServicerContext
    ) -> messages.ModelInferResponse:
        """N observations in, N actions out."""
        return self._predictor.predict(INFER, request, context.is_active)

    def RepositoryIndex(
        self, request: messages.RepositoryIndexRequest, _context: grpc.ServicerContext
    ) -> messages.RepositoryIndexResponse:
        """Every version of the store that was loaded or refused."""
        if request.repository_name:
            raise InvalidInputError(
                "request is refused",
                [FieldViolation("repository_name", "the only repository has no name")],
            )
        return repository_index(self._registry.snapshot, ready_only=request.ready)
