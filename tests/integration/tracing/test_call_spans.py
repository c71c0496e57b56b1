"""What the spans of calls say, on both sides of a real server."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from examples.print_traces import Collector, ReceivedSpan
from tests.collector import WaitForSpans, collector, wait_for_spans
from tests.integration.rpc.conftest import Connect, connect
from tradewind import errors
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.rpc import RpcServer, ServerSettings
from tradewind.rpc.clients import AsyncInferenceClient, InferenceClient
from tradewind.tracing import TracingSettings, tracing

__all__ = ["collector", "connect", "wait_for_spans"]

SERVICE = "tradewind.api.inference.v1.InferenceService"
OBSERVATION = [0.0]
SERVER, CLIENT = 2, 3  # SpanKind of OTLP
TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Servicer(inference_pb2_grpc.InferenceServiceServicer):
    """Does what the policy's name says."""

    def Predict(
        self, request: inference_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> inference_pb2.PredictResponse:
        if request.policy == "unknown":
            raise errors.PolicyNotFoundError("no policy 'unknown'")
        if request.policy == "defect":
            raise ZeroDivisionError("inside")
        return inference_pb2.PredictResponse(discrete=1, request_id=request.request_id)

    def PredictStream(
        self,
        request_iterator: Iterator[inference_pb2.PredictStreamRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[inference_pb2.PredictStreamResponse]:
        for request in request_iterator:
            yield inference_pb2.PredictStreamResponse(
                predict=self.Predict(request.predict, context)
            )


@contextlib.contextmanager
def running_server(
    settings: TracingSettings | None, registry: CollectorRegistry | None = None
) -> Iterator[RpcServer]:
    servicer = Servicer()  # type: ignore[abstract]  # the rest is UNIMPLEMENTED
    server = RpcServer(
        "test",
        ServerSettings(listen="127.0.0.1:0", drain_s=0, tracing=settings),
        registry or CollectorRegistry(),
    )
    server.add_service(
        SERVICE, lambda to: inference_pb2_grpc.add_InferenceServiceServicer_to_server(servicer, to)
    )
    with server.running():
        server.set_serving(True)
        yield server


def exemplars_of(registry: CollectorRegistry) -> list[dict[str, str]]:
    samples = [sample for family in registry.collect() for sample in family.samples]
    return [sample.exemplar.labels for sample in samples if sample.exemplar]


def test_time_of_a_traced_call_has_its_trace_as_exemplar_when_the_trace_is_kept(
    connect: Connect, collector: Collector
) -> None:
    registry = CollectorRegistry()
    settings = TracingSettings(endpoint=collector.endpoint, sampled_fraction=0.0)
    with running_server(settings, registry) as server:
        client = connect(InferenceClient, AsyncInferenceClient, server.address)
        client.wait_ready(30.0)
        client.predict(OBSERVATION, policy="good")
        assert exemplars_of(registry) == []
        with grpc.insecure_channel(server.address) as channel:
            stub: Any = inference_pb2_grpc.InferenceServiceStub(channel)
            kept = ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")
            stub.Predict(inference_pb2.PredictRequest(policy="good"), metadata=[kept])
    (exemplar,) = exemplars_of(registry)
    assert exemplar["trace_id"] == TRACE_ID
    assert len(exemplar["span_id"]) == 16
    assert exemplar["span_id"] != PARENT_ID


def by_policy_and_kind(spans: list[ReceivedSpan]) -> dict[tuple[Any, int], ReceivedSpan]:
    return {(span.attributes.get("tradewind.policy"), span.kind): span for span in spans}


def test_calls_of_a_traced_client_are_spans_of_one_trace_with_their_status(
    connect: Connect, collector: Collector, wait_for_spans: WaitForSpans
) -> None:
    settings = TracingSettings(endpoint=collector.endpoint)
    with running_server(settings) as server, tracing(settings, "caller") as tracer:
        client = connect(InferenceClient, AsyncInferenceClient, server.address, tracer=tracer)
        client.wait_ready(30.0)
        client.predict(OBSERVATION, policy="good", request_id="order-1")
        with pytest.raises(errors.PolicyNotFoundError):
            client.predict(OBSERVATION, policy="unknown")
        with pytest.raises(errors.RpcError):
            client.predict(OBSERVATION, policy="defect")
        with client.predict_stream() as stream:
            stream.predict(OBSERVATION, policy="streamed")

    spans = wait_for_spans(lambda found: len(found) >= 8)

    assert len(spans) == 8  # none of the questions for health
    assert {span.service for span in spans} == {"caller", "test"}
    clients = {span.span_id: span for span in spans if span.kind == CLIENT}
    host, port = server.address.split(":")
    seen = {}
    for span in spans:
        assert span.attributes["rpc.system.name"] == "grpc"
        assert span.attributes["rpc.method"] == span.name
        if span.kind == SERVER:
            client_span = clients[span.parent_id]
            assert (client_span.trace_id, client_span.name) == (span.trace_id, span.name)
            assert client_span.attributes["server.address"] == host
            assert client_span.attributes["server.port"] == int(port)
            seen[span.attributes["tradewind.policy"]] = (
                span.name.removeprefix(f"{SERVICE}/"),
                span.attributes["rpc.response.status_code"],
                span.is_error,
                client_span.attributes["rpc.response.status_code"],
                client_span.is_error,
            )
    assert seen == {
        "good": ("Predict", "OK", False, "OK", False),
        # A name that is not known is the caller's mistake, and no error of the server.
        "unknown": ("Predict", "NOT_FOUND", False, "NOT_FOUND", True),
        "defect": ("Predict", "INTERNAL", True, "INTERNAL", True),
        "streamed": ("PredictStream", "OK", False, "OK", False),
    }
    named = [span for span in spans if span.attributes.get("tradewind.request_id") == "order-1"]
    assert {span.kind for span in named} == {SERVER, CLIENT}


def test_call_with_the_traceparent_of_another_program_goes_on_with_its_trace(
    collector: Collector, wait_for_spans: WaitForSpans
) -> None:
    def call(policy: str, *metadata: tuple[str, str]) -> None:
        stub.Predict(inference_pb2.PredictRequest(policy=policy), metadata=metadata, timeout=30)

    settings = TracingSettings(endpoint=collector.endpoint, sampled_fraction=0.0)
    with running_server(settings) as server, grpc.insecure_channel(server.address) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        call("not-sampled-here")
        call("not-sampled-there", ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-00"))
        call("broken", ("traceparent", "00-0-0-01"))
        call(
            "sampled-there",
            ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01"),
            ("tracestate", "vendor=1"),
        )

    (span,) = wait_for_spans(lambda found: bool(found))

    assert (span.trace_id, span.parent_id) == (TRACE_ID, PARENT_ID)
    assert span.attributes["tradewind.policy"] == "sampled-there"


def test_calls_with_a_collector_that_never_answers_are_answered_and_the_server_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"):
        monkeypatch.setenv(name, "64")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = TracingSettings(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with (
            running_server(settings) as server,
            tracing(settings, "caller") as tracer,
            InferenceClient(server.address, tracer=tracer) as client,
        ):
            answered = [client.predict(OBSERVATION, policy="good") for _ in range(300)]
    # Left, though more spans than the queue holds were never taken.
    assert len(answered) == 300
