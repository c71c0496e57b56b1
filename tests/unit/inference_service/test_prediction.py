"""A call through each transport, whichever way it ends: booked once, and alike."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from google.rpc import code_pb2
from prometheus_client import CollectorRegistry

from inference_service.open_inference import OpenInferenceServicer
from inference_service.prediction import Predictor
from inference_service.registry import LoadedVersion, Registry
from inference_service.routing import Router, ShadowRunner, Variant
from inference_service.routing.routes import Counts, Route, RoutingTable, Shadow, Tally
from inference_service.routing.weights import WeightedChoice
from inference_service.servicer import InferenceServicer
from inference_service.telemetry import Telemetry
from tradewind.api.inference.v1 import inference_pb2
from tradewind.api.open_inference import grpc_predict_v2_pb2
from tradewind.bundle import BundleStore
from tradewind.errors import BundleRuntimeError, InvalidInputError
from tradewind.rpc import status_from_error

CONTEXT: Any = SimpleNamespace(is_active=lambda: True)
TRANSPORTS = ("Predict", "PredictStream", "PredictBatch", "ModelInfer")


class Service:
    """What answers calls that predict, over each transport."""

    def __init__(self, version: LoadedVersion) -> None:
        self.version, self.metrics = version, CollectorRegistry()
        registry = Registry()
        registry.serve(version)
        self.router, self.shadows = Router(registry), ShadowRunner(4, 4)
        predictor = Predictor(self.router, Telemetry(registry, self.metrics), self.shadows)
        unused: Any = None
        own = InferenceServicer(registry, predictor, unused, self.shadows, lambda _context: None)
        open_inference = OpenInferenceServicer(registry, predictor, lambda: True)
        self._transports: dict[str, Callable[[str, bytes], Any]] = {
            "Predict": lambda policy, values: own.Predict(one(policy, values), CONTEXT),
            "PredictStream": lambda policy, values: next(
                own.PredictStream(streamed(policy, values), CONTEXT)
            ),
            "PredictBatch": lambda policy, values: own.PredictBatch(batch(policy, values), CONTEXT),
            "ModelInfer": lambda policy, values: open_inference.ModelInfer(
                infer(policy, values), CONTEXT
            ),
        }

    def call(self, transport: str, policy: str = "tiny-dqn", size: int = 6) -> Any:
        return self._transports[transport](policy, np.zeros(size, "<f4").tobytes())

    def route(self, shadows: tuple[Shadow, ...] = ()) -> Tally:
        """Has one variant answer every call; gives its tally."""
        variant = Variant("tiny-dqn", "only", self.version, Tally(1e9), shadows)
        route = Route(WeightedChoice(("only",), (1.0,), ""), (variant,), (None,), variant)
        self.router.table = RoutingTable({"tiny-dqn": route})
        return variant.tally

    def booked(self) -> dict[str, dict[tuple[str, ...], float]]:
        """What the metrics count of calls that failed and that were answered, but zeros."""
        counted: dict[str, dict[tuple[str, ...], float]] = {"failures": {}, "predictions": {}}
        for family in self.metrics.collect():
            kind = family.name.removeprefix("tradewind_inference_").removeprefix("prediction_")
            for sample in family.samples:
                if kind in counted and sample.name.endswith("_total") and sample.value:
                    counted[kind][tuple(sample.labels.values())] = sample.value
        return counted


@pytest.fixture
def service(
    store: BundleStore, publish: Callable[..., str], load: Callable[[Path], LoadedVersion]
) -> Service:
    return Service(load(store.path("tiny-dqn", publish())))


def one(policy: str, values: bytes) -> inference_pb2.PredictRequest:
    return inference_pb2.PredictRequest(policy=policy, values_f32_le=values, request_id="mine")


def streamed(policy: str, values: bytes) -> Iterator[inference_pb2.PredictStreamRequest]:
    yield inference_pb2.PredictStreamRequest(predict=one(policy, values))


def batch(policy: str, values: bytes) -> inference_pb2.PredictBatchRequest:
    return inference_pb2.PredictBatchRequest(
        policy=policy, observation_count=1, values_f32_le=values, request_id="mine"
    )


def infer(policy: str, values: bytes) -> grpc_predict_v2_pb2.ModelInferRequest:
    request = grpc_predict_v2_pb2.ModelInferRequest(
        model_name=policy, id="mine", raw_input_contents=[values]
    )
    request.inputs.add(name="observation", datatype="FP32", shape=(1, 6))
    return request


def no_answer(*_args: Any, **_options: Any) -> Any:
    raise BundleRuntimeError("the network failed")


def no_action(*_args: Any, **_options: Any) -> Any:
    return "no action", {"model_compute_ns": 5_000}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("resolve", "NOT_FOUND"),
        ("shape", "INVALID_ARGUMENT"),
        ("compute", "FAILED_PRECONDITION"),
        ("encoding", "INTERNAL"),
    ],
)
def test_call_with_a_fault_on_its_way_is_booked_once_and_alike_over_each_transport(
    service: Service, monkeypatch: pytest.MonkeyPatch, transport: str, fault: str, status: str
) -> None:
    tally = service.route()
    asked: dict[str, Any] = {"resolve": {"policy": "nobody"}, "shape": {"size": 5}}
    broken = {"compute": no_answer, "encoding": no_action}.get(fault)
    if broken is not None:
        monkeypatch.setattr(service.version.policy, "predict", broken)
        monkeypatch.setattr(service.version.policy, "predict_batch", broken)

    with pytest.raises(Exception) as refused:  # noqa: PT011  which one it is decides the status
        service.call(transport, **asked.get(fault, {}))

    assert code_pb2.Code.Name(status_from_error(refused.value).code) == status
    found = ("", "") if fault == "resolve" else ("tiny-dqn", service.version.version)
    assert service.booked() == {"failures": {(*found, status): 1.0}, "predictions": {}}
    assert tally.counts() == Counts(failed=int(broken is not None))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_call_with_an_answer_is_booked_once_and_offered_to_the_shadows(
    service: Service, transport: str
) -> None:
    shadow = Shadow("tiny-dqn", "shadow", service.version, Tally(1e9))
    tally = service.route(shadows=(shadow,))
    service.call(transport)
    kind = "single" if transport in ("Predict", "PredictStream") else "batch"
    labels = ("tiny-dqn", service.version.version, kind)
    assert service.booked() == {"failures": {}, "predictions": {labels: 1.0}}
    assert tally.counts() == Counts(answered=1)
    service.shadows.answer_next()
    (answer,) = service.shadows.answers("tiny-dqn", "", differing_only=False, limit=10)
    assert (answer.variant, answer.request_id, answer.row_count) == ("only", "mine", 1)
    assert answer.actions == answer.shadow_actions


@pytest.mark.parametrize(
    ("transport", "field"),
    [
        ("Predict", "values_f32_le"),
        ("PredictStream", "predict.values_f32_le"),
        ("PredictBatch", "values_f32_le"),
        ("ModelInfer", "raw_input_contents[0]"),
    ],
)
def test_call_with_a_wrong_size_names_the_field_of_its_own_request(
    service: Service, transport: str, field: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        service.call(transport, size=5)
    assert [violation.field for violation in refused.value.violations] == [field]
