"""Request ids in the metadata of calls and in the lines that a server logs of them."""

import asyncio
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from tests.integration.rpc.conftest import Connect
from tradewind import errors
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.logs import CallLogSettings, log_context, set_up_logging
from tradewind.rpc import RpcServer, ServerSettings
from tradewind.rpc.clients import AsyncInferenceClient, InferenceClient

SERVICE = "tradewind.api.inference.v1.InferenceService"
OBSERVATION = [0.0]
Context = grpc.ServicerContext


class Servicer(inference_pb2_grpc.InferenceServiceServicer):
    """Does what the policy's name says, and keeps the ids that came along."""

    def __init__(self) -> None:
        self.given: list[str | None] = []

    def _answer(
        self, request: inference_pb2.PredictRequest, context: Context
    ) -> inference_pb2.PredictResponse:
        metadata: Any = context.invocation_metadata()
        self.given.append(dict(metadata).get("x-request-id"))
        if request.policy == "unknown":
            raise errors.PolicyNotFoundError("no policy 'unknown'")
        if request.policy == "defect":
            raise ZeroDivisionError("inside")
        if request.policy == "says":
            logging.getLogger("tradewind.tests").info("said in the call")
        return inference_pb2.PredictResponse(discrete=1, request_id=request.request_id)

    def Predict(
        self, request: inference_pb2.PredictRequest, context: Context
    ) -> inference_pb2.PredictResponse:
        return self._answer(request, context)

    def PredictStream(
        self, request_iterator: Iterator[inference_pb2.PredictStreamRequest], context: Context
    ) -> Iterator[inference_pb2.PredictStreamResponse]:
        for request in request_iterator:
            answer = self._answer(request.predict, context)
            yield inference_pb2.PredictStreamResponse(predict=answer)


class Served:
    """A server with its log."""

    def __init__(self, stream: io.StringIO, settings: CallLogSettings) -> None:
        self.servicer = Servicer()  # type: ignore[abstract]  # the rest is UNIMPLEMENTED
        self._stream = stream
        server = ServerSettings(listen="127.0.0.1:0", drain_s=0, logging=settings)
        self.rpc = RpcServer("test", server, CollectorRegistry())
        self.rpc.add_service(
            SERVICE,
            lambda to: inference_pb2_grpc.add_InferenceServiceServicer_to_server(self.servicer, to),
        )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    # A busy machine makes calls slow: lines about that only where they are what is tested.
    values = {"format": "json", "slow_call_ms": None, **getattr(request, "param", {})}
    settings = CallLogSettings.model_validate(values)
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)
    stream = io.StringIO()
    set_up_logging(settings, "test", stream=stream)
    logging.captureWarnings(False)
    served = Served(stream, settings)
    with served.rpc.running():
        yield served
    root.handlers, root.level, sys.excepthook, threading.excepthook = before
    for name in ("tradewind", "test"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def connected(connect: Connect, served: Served) -> Any:
    return connect(InferenceClient, AsyncInferenceClient, served.rpc.address)


def test_call_with_a_request_id_sends_it_along_and_succeeds_without_a_line(
    connect: Connect, served: Served
) -> None:
    client = connected(connect, served)

    client.predict(OBSERVATION, request_id="order-1")
    client.predict(OBSERVATION)
    client.predict(OBSERVATION, request_id="größe")
    client.predict(OBSERVATION, request_id="a\nb")

    assert served.servicer.given == ["order-1", None, None, None]
    assert served.lines() == []


def test_call_without_a_request_id_sends_that_of_the_context_it_is_made_in(
    served: Served,
) -> None:
    async def predict() -> None:
        async with AsyncInferenceClient(served.rpc.address) as client:
            await client.predict(OBSERVATION)

    with log_context(request_id="around"):
        asyncio.run(predict())
        with InferenceClient(served.rpc.address) as blocking:
            blocking.predict(OBSERVATION)
            blocking.predict(OBSERVATION, request_id="own")

    assert served.servicer.given == ["around", "around", "own"]


def test_what_a_call_logs_and_its_failure_bear_its_fields(connect: Connect, served: Served) -> None:
    client = connected(connect, served)

    client.predict(OBSERVATION, policy="says", request_id="order-2")
    with pytest.raises(errors.PolicyNotFoundError):
        client.predict(OBSERVATION, policy="unknown", request_id="order-3")
    with pytest.raises(errors.RpcError, match="INTERNAL"):
        client.predict(OBSERVATION, policy="defect", request_id="order-4")
    stream = client.predict_stream()
    stream.predict(OBSERVATION, request_id="order-5")
    with pytest.raises(errors.PolicyNotFoundError):
        stream.predict(OBSERVATION, policy="unknown", request_id="order-6")

    said, unknown, defect, streamed = served.lines()
    method = f"/{SERVICE}/Predict"
    for line, request_id, policy in (
        (said, "order-2", "says"),
        (unknown, "order-3", "unknown"),
        (defect, "order-4", "defect"),
    ):
        assert (line["request_id"], line["policy"], line["method"]) == (request_id, policy, method)
        assert line["duration_ms"] >= 0.0
    assert (unknown["code"], unknown["level"]) == ("NOT_FOUND", "INFO")
    assert "error" not in unknown
    assert (defect["code"], defect["level"]) == ("INTERNAL", "ERROR")
    assert "ZeroDivisionError: inside" in defect["error"]
    assert (streamed["method"], streamed["request_id"]) == (f"{method}Stream", "order-6")


def trailers(served: Served, policy: str, *given: str) -> tuple[grpc.StatusCode, list[str]]:
    with grpc.insecure_channel(served.rpc.address) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        metadata = tuple(("x-request-id", value) for value in given)
        call: Any = stub.Predict.future(
            inference_pb2.PredictRequest(policy=policy), metadata=metadata, timeout=10
        )
        code = call.code()
        return code, [value for key, value in call.trailing_metadata() if key == "x-request-id"]


def test_request_id_in_metadata_is_echoed_by_success_and_failure_and_logged(
    served: Served,
) -> None:
    assert trailers(served, "", "order-7") == (grpc.StatusCode.OK, ["order-7"])
    assert trailers(served, "unknown", "order-8") == (grpc.StatusCode.NOT_FOUND, ["order-8"])
    assert trailers(served, "") == (grpc.StatusCode.OK, [])

    (line,) = served.lines()
    assert line["request_id"] == "order-8"


@pytest.mark.parametrize("bad", ["x" * 129, "two words"])
def test_request_id_that_is_bad_is_neither_echoed_nor_logged_and_the_call_is_answered(
    served: Served, bad: str
) -> None:
    assert trailers(served, "says", bad) == (grpc.StatusCode.OK, [])

    (line,) = served.lines()
    assert "request_id" not in line


@pytest.mark.parametrize(
    "served", [{"call_lines_per_s": 1e-9, "call_lines_burst": 3}], indirect=True
)
def test_flood_of_refused_and_malformed_calls_leaves_a_few_lines(served: Served) -> None:
    with grpc.insecure_channel(served.rpc.address) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        malformed: Any = channel.unary_unary(f"/{SERVICE}/Predict")
        for _ in range(100):
            with pytest.raises(grpc.RpcError):
                stub.Predict(inference_pb2.PredictRequest(policy="unknown"), timeout=10)
            with pytest.raises(grpc.RpcError):
                malformed(b"\xff\xff\xff", timeout=10)

    loggers = [line["logger"] for line in served.lines()]
    assert loggers == ["tradewind.rpc.calls"] * 6  # three of either kind


@pytest.mark.parametrize("served", [{"slow_call_ms": 0.0}, {"calls": "all"}], indirect=True)
def test_call_that_is_slow_or_any_when_told_to_is_logged_though_it_succeeds(
    served: Served,
) -> None:
    trailers(served, "btc", "order-9")

    (line,) = served.lines()
    assert (line["code"], line["request_id"], line["policy"]) == ("OK", "order-9", "btc")
    assert line["message"] in ("took long", "answered")
