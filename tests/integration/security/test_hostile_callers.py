"""Callers that hold what they can of a server, with no token, a bad one or a good one.

While each of them is at it a good caller asks for everything that it needs, and is answered every
time; and the server has no more threads than its settings allow.
"""

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.security.raw_http2 import (
    CONTINUATION,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Fields,
    RawPeer,
    connect,
    frame,
)
from tradewind.api.inference.v1 import inference_pb2
from tradewind.rpc import ServiceProcess
from tradewind.rpc.access import make_token
from tradewind.rpc.access.token import read_token
from tradewind.rpc.clients import InferenceClient

ROOT = Path(__file__).parents[3]
STORE = ROOT / "tests" / "contract" / "bundle" / "store_v1"
INFERENCE = "/tradewind.api.inference.v1.InferenceService"
PREDICT, STREAM = f"{INFERENCE}/Predict", f"{INFERENCE}/PredictStream"
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
OBSERVATION = np.zeros(6, np.float32)
ASKED = inference_pb2.PredictRequest(policy="tiny-dqn", values_f32_le=OBSERVATION.tobytes())
MESSAGE = inference_pb2.PredictStreamRequest(predict=ASKED).SerializeToString()
STREAMED = b"\0" + len(MESSAGE).to_bytes(4, "big") + MESSAGE
BAD_TOKEN = (("authorization", "Bearer " + "x" * 43),)
CUT_OFF = b"\0\0\0\0\x64x"  # a message of 100 bytes, of which one has come
# What a server may have beside those at rest: the threads of handlers, of Predict, of watchers of
# health, of reflection and of the metrics. gRPC's core has some more of its own for connections.
MOST_MORE_THREADS = 16 + 4 + 32 + 4 + 16 + 24


@dataclass
class Target:
    """A server, and what an attack needs to know.

    Attributes:
        service: The server.
        token: Of the good caller; None where there is no access policy.
        other_token: Of a caller that is known, too, and has gone bad.
        good: What it shows.
    """

    service: ServiceProcess
    token: str | None
    other_token: str | None

    @property
    def address(self) -> str:
        return self.service.address

    @property
    def good(self) -> tuple[tuple[str, str], ...]:
        token = self.other_token
        return () if token is None else (("authorization", f"Bearer {token}"),)

    def threads(self) -> int:
        status = Path(f"/proc/{self.service.popen.pid}/status").read_text()
        return int(status.partition("Threads:")[2].split()[0])


Attack = Callable[[Target, ExitStack], None]
ATTACKS: dict[str, Attack] = {}


def attack(call: Attack) -> Attack:
    ATTACKS[call.__name__] = call
    return call


def peer(target: Target, stack: ExitStack, *, reads: bool = True) -> RawPeer:
    found = RawPeer(target.address, reads=reads)
    stack.callback(found.close)
    return found


def repeatedly(stack: ExitStack, step: Callable[[], object]) -> None:
    """Goes on with it in a thread until the test is over; once it has been done already."""
    stopping = threading.Event()

    def run() -> None:
        while not stopping.wait(0.01):
            step()

    step()
    thread = threading.Thread(target=run)
    thread.start()
    stack.callback(thread.join)
    stack.callback(stopping.set)


def opens(
    *paths: str,
    shows: Callable[[Target], Fields] = lambda target: target.good,
    body: bytes = b"",
    count: int = 64,
    reads: bool = True,
) -> Attack:
    """Opens calls on one connection and leaves them, after the first bytes of their messages."""

    def run(target: Target, stack: ExitStack) -> None:
        caller = peer(target, stack, reads=reads)
        for _ in range(count):
            for path in paths:
                caller.open(path, shows(target), body)

    return run


def nothing(target: Target) -> Fields:
    return ()


def a_bad_token(target: Target) -> Fields:
    return BAD_TOKEN


ATTACKS |= {
    "half_open_predict": opens(PREDICT, shows=nothing),
    "half_open_predict_with_a_bad_token": opens(PREDICT, shows=a_bad_token),
    "half_open_predict_with_a_good_token": opens(PREDICT),
    "half_open_streams": opens(STREAM),
    "half_open_lists": opens(f"{INFERENCE}/ListPolicies"),
    "half_open_health": opens(CHECK, WATCH, shows=nothing),
    "half_open_reflection": opens(REFLECTION),
    "half_open_calls_of_unknown_methods": opens(
        *(f"/no.Service/Method{number}" for number in range(64)), shows=nothing, count=1
    ),
    "messages_that_are_cut_off": opens(PREDICT, body=CUT_OFF),
    "messages_that_say_they_are_huge": opens(PREDICT, body=b"\0\xff\xff\xff\xff" + bytes(1024)),
    "thousands_of_calls_on_one_connection": opens(PREDICT, count=3_000),
    "streams_that_fall_silent": opens(STREAM, body=STREAMED, count=32),
    "streams_whose_answers_nobody_reads": opens(STREAM, body=STREAMED * 8, count=32, reads=False),
}


@attack
def half_open_predict_that_never_stops(target: Target, stack: ExitStack) -> None:
    callers = [peer(target, stack) for _ in range(4)]
    repeatedly(stack, lambda: [caller.open(PREDICT, target.good) for caller in callers])


@attack
def messages_byte_by_byte(target: Target, stack: ExitStack) -> None:
    caller = peer(target, stack)
    streams = [caller.open(PREDICT, target.good, CUT_OFF) for _ in range(32)]
    repeatedly(stack, lambda: caller.send(b"".join(frame(0, 0, each, b"y") for each in streams)))


@attack
def calls_that_are_reset_at_once(target: Target, stack: ExitStack) -> None:
    caller = peer(target, stack)
    for _ in range(2_000):
        caller.send(frame(RST_STREAM, 0, caller.open(PREDICT, target.good), b"\0\0\0\x08"))


@attack
def answers_that_nobody_reads(target: Target, stack: ExitStack) -> None:
    caller = peer(target, stack, reads=False)
    for _ in range(200):
        caller.call(PREDICT, ASKED.SerializeToString(), target.good)


@attack
def watchers_of_health_on_one_connection(target: Target, stack: ExitStack) -> None:
    caller = peer(target, stack)
    for _ in range(300):
        caller.call(WATCH, b"")


@attack
def watchers_of_health_on_many_connections(target: Target, stack: ExitStack) -> None:
    for _ in range(40):
        caller = peer(target, stack)
        for _ in range(8):
            caller.call(WATCH, b"")


@attack
def watchers_of_health_that_do_not_read(target: Target, stack: ExitStack) -> None:
    for _ in range(4):
        caller = peer(target, stack, reads=False)
        for _ in range(8):
            caller.call(WATCH, b"")


@attack
def connections_that_say_nothing(target: Target, stack: ExitStack) -> None:
    for _ in range(300):
        stack.enter_context(connect(target.address))


@attack
def connections_that_say_their_preface_slowly(target: Target, stack: ExitStack) -> None:
    connections = [stack.enter_context(connect(target.address)) for _ in range(50)]
    said = iter(PREFACE)

    def say() -> None:
        byte = next(said, None)
        for connection in connections if byte is not None else ():
            with contextlib.suppress(OSError):
                connection.sendall(bytes([byte or 0]))

    repeatedly(stack, say)


@attack
def connections_without_a_call(target: Target, stack: ExitStack) -> None:
    for _ in range(200):
        peer(target, stack)


@attack
def garbage(target: Target, stack: ExitStack) -> None:
    for junk in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 64, PREFACE + b"\xff" * 4096):
        for _ in range(20):
            connection = stack.enter_context(connect(target.address))
            with contextlib.suppress(OSError):
                connection.sendall(junk)


@attack
def headers_that_never_end(target: Target, stack: ExitStack) -> None:
    caller = peer(target, stack)
    caller.send(frame(HEADERS, 0, 1, caller.headers(PREDICT)))
    repeatedly(stack, lambda: caller.send(frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 200)))


@attack
def floods_of_pings_and_settings(target: Target, stack: ExitStack) -> None:
    caller = peer(target, stack)
    flood = (frame(PING, 0, 0, bytes(8)) + frame(SETTINGS, 0, 0)) * 500
    repeatedly(stack, lambda: caller.send(flood))


@attack
def calls_without_a_role(target: Target, stack: ExitStack) -> None:
    caller = peer(target, stack)
    repeatedly(
        stack,
        lambda: (
            [
                caller.call(PREDICT, ASKED.SerializeToString(), fields)
                for fields in ((), BAD_TOKEN) * 4
            ]
        ),
    )


@attack
def messages_that_are_none(target: Target, stack: ExitStack) -> None:
    caller = peer(target, stack)
    repeatedly(stack, lambda: [caller.call(PREDICT, b"\xff" * 40, target.good) for _ in range(32)])


@attack
def silent_connections_to_the_metrics(target: Target, stack: ExitStack) -> None:
    for _ in range(200):
        stack.enter_context(connect(target.service.metrics_address))


@attack
def requests_for_metrics_that_never_end(target: Target, stack: ExitStack) -> None:
    connections: list[socket.socket] = []
    for _ in range(100):
        connections.append(stack.enter_context(connect(target.service.metrics_address)))
        connections[-1].sendall(b"GET /metrics HTTP/1.1\r\n")

    def go_on() -> None:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sendall(b"X-Slow: y\r\n")

    repeatedly(stack, go_on)


@attack
def metrics_that_nobody_reads(target: Target, stack: ExitStack) -> None:
    for _ in range(100):
        connection = stack.enter_context(connect(target.service.metrics_address))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        with contextlib.suppress(OSError):
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")


@pytest.fixture(scope="module", params=["roles", "everybody"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp(request.param)
    values = {"server": {"limits": {"message_timeout_s": 1.0}}}
    tokens: list[str | None] = [None, None]
    if request.param == "roles":
        digests = [make_token(folder / name) for name in ("bot", "bad")]
        tokens = [read_token(folder / name) for name in ("bot", "bad")]
        access = {
            "identities": {
                name: {"tokens": [digest], "roles": ["predict"]}
                for name, digest in zip(("bot", "bad"), digests, strict=True)
            }
        }
        (folder / "access.yaml").write_text(yaml.safe_dump(access))
        values["server"]["access"] = str(folder / "access.yaml")  # type: ignore[assignment]
    config = folder / "inference.yaml"
    config.write_text(yaml.safe_dump(values))
    flags = ["--config", str(config), "--store", str(STORE), "--listen", "127.0.0.1:0"]
    flags += ["--metrics-listen", "127.0.0.1:0"]
    with ServiceProcess("inference_service", flags, log=folder / "log") as service:
        yield Target(service, *tokens)


def is_serving(address: str) -> bool:
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        check = health_pb2.HealthCheckRequest()
        answer = stub.Check(check, timeout=60)  # type: ignore[attr-defined]
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def check_that_everything_answers(target: Target) -> None:
    """Ten of each, none of which fails."""
    for _ in range(2):  # each time on a connection of its own
        with InferenceClient(target.address, timeout_s=60.0, token=target.token) as client:
            for _ in range(5):
                assert client.predict(OBSERVATION, policy="tiny-dqn").policy == "tiny-dqn"
                assert client.list_policies().policy_versions
                with client.predict_stream() as stream:
                    assert stream.predict(OBSERVATION, policy="tiny-dqn").policy == "tiny-dqn"
        assert is_serving(target.address)
        page = f"http://{target.service.metrics_address}/metrics"
        with urllib.request.urlopen(page, timeout=60) as answer:
            assert b"tradewind_rpc_handled_total" in answer.read()


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_caller_keeps_no_good_one_from_an_answer(target: Target, name: str) -> None:
    check_that_everything_answers(target)
    at_rest = target.threads()
    with ExitStack() as stack:
        ATTACKS[name](target, stack)
        check_that_everything_answers(target)
        assert target.threads() <= at_rest + MOST_MORE_THREADS
        check_that_everything_answers(target)
    check_that_everything_answers(target)


def test_hostile_callers_are_more_than_a_score() -> None:
    assert len(ATTACKS) >= 20
