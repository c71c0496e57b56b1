"""Labels, health by policy, overload, and clients that send nonsense, hang or vanish."""

import contextlib
import queue
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inference_service.service import POLICY_HEALTH_PREFIX
from tests.integration.inference.conftest import ServeHere
from tradewind import errors
from tradewind.address import host_and_port
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.bundle import BundleStore
from tradewind.rpc import RpcServer, ServerSettings
from tradewind.rpc.clients import InferenceClient

Publish = Callable[..., str]
WaitUntil = Callable[[Callable[[], bool]], None]

OBSERVATION = np.zeros(6, np.float32)
PREDICT = "/tradewind.api.inference.v1.InferenceService/Predict"
MAX_STREAMS = 3
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MALFORMED = (
    b"GET / HTTP/1.1\r\n\r\n",
    bytes(range(256)) * 64,
    PREFACE,  # and then silence
    PREFACE + b"\xff" * 4096,
    PREFACE + bytes(3) + b"\x04" + bytes(5) + b"\xff\xff\xff\x01",  # headers of 16 MB
)


@pytest.fixture
def server(publish: Publish, serve_here: ServeHere) -> RpcServer:
    publish()
    limits = ServerSettings(listen="127.0.0.1:0", threads=4, max_concurrent_calls=8, drain_s=0.0)
    return serve_here(max_streams=MAX_STREAMS, server=limits)


@pytest.fixture
def client(server: RpcServer) -> Iterator[InferenceClient]:
    with InferenceClient(server.address, timeout_s=20.0) as client:
        yield client


class SilentStream:
    """A stream that has had one answer and sends nothing more."""

    def __init__(self, server: RpcServer) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(server.address, options)
        self._requests: queue.SimpleQueue[inference_pb2.PredictStreamRequest] = queue.SimpleQueue()
        predict = inference_pb2.PredictRequest(values_f32_le=OBSERVATION.tobytes())
        self._requests.put(inference_pb2.PredictStreamRequest(predict=predict))
        stub = inference_pb2_grpc.InferenceServiceStub(self._channel)
        self.answers = stub.PredictStream(iter(self._requests.get, None), timeout=60)

    def answered(self) -> bool:
        """Waits for the answer; False when the stream is refused for there are too many."""
        try:
            next(self.answers)
        except grpc.RpcError as problem:
            if problem.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            return False
        return True

    def close(self) -> None:
        """Vanishes."""
        self._channel.close()


def health(server: RpcServer, name: str) -> str:
    with grpc.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            status = stub.Check(health_pb2.HealthCheckRequest(service=name)).status
        except grpc.RpcError as problem:
            return str(problem.code().name)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))


def check_health_by_policy(server: RpcServer, publish: Publish, wait_until: WaitUntil) -> None:
    assert health(server, POLICY_HEALTH_PREFIX + "tiny-dqn") == "SERVING"
    assert health(server, POLICY_HEALTH_PREFIX + "tiny-sac") == "NOT_FOUND"
    publish("tiny-sac")
    wait_until(lambda: health(server, POLICY_HEALTH_PREFIX + "tiny-sac") == "SERVING")


def check_labels(
    store: BundleStore, client: InferenceClient, publish: Publish, wait_until: WaitUntil
) -> None:
    """A label leads to its version, and moves without a failed call."""
    versions = [*store.versions("tiny-dqn"), publish(), publish(), publish()]
    store.set_labels("tiny-dqn", {"champion": versions[0]})

    def labels() -> dict[str, list[str]]:
        listed = client.list_policies().policy_versions
        return {item.version: list(item.labels) for item in listed}

    wait_until(lambda: labels().get(versions[0]) == ["champion"])
    wait_until(lambda: labels().get(versions[3]) == ["served"])
    assert client.predict(OBSERVATION, policy="tiny-dqn", label="champion").version == versions[0]
    assert (
        client.predict_batch(OBSERVATION[None], policy="tiny-dqn", label="served").version
        == versions[3]
    )
    store.set_labels("tiny-dqn", {"champion": versions[1]})
    answers = set()
    while versions[1] not in answers:
        answers.add(client.predict(OBSERVATION, policy="tiny-dqn", label="champion").version)
    assert answers <= {versions[0], versions[1]}
    assert client.get_policy("tiny-dqn", label="champion").policy_version.version == versions[1]
    with pytest.raises(errors.InvalidInputError, match="only one may be set"):
        client.predict(OBSERVATION, policy="tiny-dqn", label="champion", version=versions[0])
    with pytest.raises(errors.VersionNotFoundError, match="labels are champion, served"):
        client.predict(OBSERVATION, policy="tiny-dqn", label="challenger")


def test_versions_and_policies_can_be_told_apart(
    server: RpcServer,
    store: BundleStore,
    client: InferenceClient,
    publish: Publish,
    wait_until: WaitUntil,
) -> None:
    check_labels(store, client, publish, wait_until)
    check_health_by_policy(server, publish, wait_until)


def test_hostile_clients_keep_no_one_else_from_an_answer(
    server: RpcServer, client: InferenceClient, wait_until: WaitUntil
) -> None:
    for check in (check_streams, check_overload, check_malformed_frames, check_foreign_messages):
        check(server, client, wait_until)
        assert client.predict(OBSERVATION).policy == "tiny-dqn"


def check_streams(server: RpcServer, client: InferenceClient, wait_until: WaitUntil) -> None:
    """Streams that fall silent hold all that streams may; those that vanish give it back."""

    def opens(stack: ExitStack) -> bool:
        return stack.enter_context(contextlib.closing(SilentStream(server))).answered()

    for _ in range(3):
        with ExitStack() as stack:
            for _ in range(MAX_STREAMS):
                # Those of the round before hold their places until the server sees that they left.
                wait_until(partial(opens, stack))
            assert not opens(stack)
            assert client.predict(OBSERVATION).policy == "tiny-dqn"


def check_overload(server: RpcServer, client: InferenceClient, wait_until: WaitUntil) -> None:
    request = inference_pb2.PredictRequest(values_f32_le=OBSERVATION.tobytes())
    with grpc.insecure_channel(server.address) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        sent = [stub.Predict.future(request, timeout=30) for _ in range(300)]
        codes = {answer.code() for answer in sent}
    assert codes == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}


def check_malformed_frames(
    server: RpcServer, client: InferenceClient, wait_until: WaitUntil
) -> None:
    for data in MALFORMED:
        with socket.create_connection(host_and_port(server.address), timeout=20) as connection:
            connection.sendall(data)
            assert client.predict(OBSERVATION).policy == "tiny-dqn"


def check_foreign_messages(
    server: RpcServer, client: InferenceClient, wait_until: WaitUntil
) -> None:
    with grpc.insecure_channel(server.address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
        for message in (b"\xff" * 40, b"\x0a\xff", b"\x22\x18short"):
            with pytest.raises(grpc.RpcError) as refused:
                call(message, timeout=20)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
