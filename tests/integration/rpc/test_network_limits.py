"""What callers may hold of a server, what they are told beyond it, and what is left of it."""

import logging
import os
import queue
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from tests.integration.rpc.test_server import SERVICE, Servicer, make_server
from tests.integration.security.raw_http2 import RawPeer
from tradewind import errors
from tradewind.api.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from tradewind.jobs import TrainingJob
from tradewind.rpc import RpcServer, ServerSettings, error_from_rpc
from tradewind.rpc.clients import TrainerClient
from tradewind.rpc.codecs.trainer import write_job
from tradewind.rpc.server.arrival import check_grpcio
from tradewind.rpc.server.limits import NetworkLimits, share_of
from tradewind.rpc.server.start_notice import compilations_told, waiting_told

GET, WATCH = f"/{SERVICE}/GetTrainingJob", f"/{SERVICE}/WatchTrainingJob"
ROOT = Path(__file__).parents[3]
messages: Any = health_pb2


@pytest.fixture
def servicer() -> Servicer:
    return Servicer()  # type: ignore[abstract]  # the other calls answer UNIMPLEMENTED


@pytest.fixture
def peers() -> Iterator[Callable[[str], RawPeer]]:
    opened: list[RawPeer] = []

    def open_peer(address: str) -> RawPeer:
        opened.append(RawPeer(address))
        return opened[-1]

    yield open_peer
    for peer in opened:
        peer.close()


def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        threading.Event().wait(0.01)


def refused_counts(server: RpcServer) -> dict[str, float]:
    found: dict[str, float] = {}
    registry: Any = server._registry
    for metric in registry.collect():
        for sample in metric.samples:
            if sample.name == "tradewind_rpc_refused_total":
                found[sample.labels["reason"]] = sample.value
    return found


def details(error: grpc.RpcError) -> tuple[str, float | None]:
    """The reason, and after how many seconds to ask again."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    info, retry, after = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), None
    for detail in status.details:
        if detail.Unpack(retry):
            after = retry.retry_delay.ToNanoseconds() * 1e-9
        else:
            detail.Unpack(info)
    return info.reason, after


def test_grpcio_that_is_installed_hands_calls_over_as_is_known_here() -> None:
    check_grpcio()


def test_call_whose_message_does_not_come_is_ended_and_never_took_a_thread(
    servicer: Servicer, peers: Callable[[str], RawPeer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = make_server(servicer, threads=1, limits=NetworkLimits(message_timeout_s=0.2))
    with server.running(), TrainerClient(server.address) as client:
        peer = peers(server.address)
        streams = {peer.open(GET) for _ in range(8)} | {peer.open(WATCH) for _ in range(8)}
        assert client.get_job("fine").job_id == "ok"  # the only thread is free
        wait_until(lambda: peer.ended >= streams)
        assert refused_counts(server) == {"MESSAGE_TIMEOUT": 8.0}
    assert servicer.handled == ["fine"]
    assert "no message came within 0.2 s" in caplog.text


def test_calls_without_a_message_that_are_too_many_end_the_oldest(
    servicer: Servicer, peers: Callable[[str], RawPeer]
) -> None:
    limits = NetworkLimits(message_timeout_s=60.0, waiting_calls=4)
    server = make_server(servicer, limits=limits)
    with server.running(), TrainerClient(server.address) as client:
        peer = peers(server.address)
        streams = [peer.open(GET) for _ in range(6)]
        wait_until(lambda: peer.ended >= set(streams[:2]))
        assert client.get_job("fine").job_id == "ok"
        assert peer.ended < set(streams)
        assert refused_counts(server) == {"TOO_MANY_WAITING_CALLS": 3.0}


def test_calls_without_a_message_do_not_hold_up_the_drain(
    servicer: Servicer, peers: Callable[[str], RawPeer]
) -> None:
    limits = NetworkLimits(message_timeout_s=600.0)
    server = make_server(servicer, limits=limits, grace_s=600.0)  # longer than a test may take
    with server.running():
        peer = peers(server.address)
        stream = peer.open(GET)
        wait_until(lambda: len(server._gate._waiting) == 1)
        with TrainerClient(server.address) as client:
            assert client.get_job("fine").job_id == "ok"
    wait_until(lambda: stream in peer.ended)
    assert refused_counts(server) == {"STOPPING": 1.0}


def test_call_that_is_refused_says_which_limit_and_when_to_ask_again(servicer: Servicer) -> None:
    server = make_server(servicer, max_concurrent_calls=1, threads=4)
    with server.running(), grpc.insecure_channel(server.address) as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        slow = stub.GetTrainingJob.future(trainer_pb2.GetTrainingJobRequest(job_id="slow"))
        assert servicer.entered.wait(10)
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetTrainingJob(trainer_pb2.GetTrainingJobRequest(), timeout=10)
        servicer.release.set()
        assert slow.result(10).job.job_id == "ok"
    assert details(refused.value) == ("TOO_MANY_CALLS", 0.1)
    error = error_from_rpc(refused.value)
    assert isinstance(error, errors.OverloadedError)
    assert (error.reason, error.retry_after_s) == ("TOO_MANY_CALLS", 0.1)
    assert refused_counts(server) == {"TOO_MANY_CALLS": 1.0}


class Endless(trainer_pb2_grpc.TrainerServiceServicer):
    """Watchers that are told nothing until they go."""

    def WatchTrainingJob(
        self, request: trainer_pb2.WatchTrainingJobRequest, context: grpc.ServicerContext
    ) -> Iterator[trainer_pb2.WatchTrainingJobResponse]:
        yield trainer_pb2.WatchTrainingJobResponse(job=write_job(TrainingJob("any", "tiny", "{}")))
        gone: queue.SimpleQueue[None] = queue.SimpleQueue()
        if context.add_callback(lambda: gone.put(None)):
            gone.get()


def test_streams_of_one_connection_leave_some_to_others() -> None:
    servicer = Endless()  # type: ignore[abstract]
    server = make_server(servicer, threads=8, limits=NetworkLimits(streams=4))  # type: ignore[arg-type]
    with server.running(), grpc.insecure_channel(server.address) as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        request = trainer_pb2.WatchTrainingJobRequest()
        streams = [stub.WatchTrainingJob(request, timeout=60) for _ in range(3)]
        for stream in streams:
            next(stream)
        with pytest.raises(grpc.RpcError) as refused:
            next(stub.WatchTrainingJob(request, timeout=60))
        assert "the connection from ipv4:127.0.0.1" in str(refused.value.details())
        assert details(refused.value) == ("TOO_MANY_STREAMS", 1.0)
        with TrainerClient(server.address) as other:
            # One of the four is left for it; its channel is another connection.
            assert next(other.watch("any")) is not None
        for stream in streams:
            stream.cancel()


def test_stream_that_is_quiet_for_too_long_is_ended() -> None:
    from tests.integration.rpc.test_client_failures import Servers  # it has a stream of requests

    limits = NetworkLimits(stream_idle_s=0.2)
    servers = Servers()
    server = RpcServer(
        "test", ServerSettings(listen="127.0.0.1:0", drain_s=0, limits=limits), CollectorRegistry()
    )
    from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc

    server.add_service(
        "tradewind.api.inference.v1.InferenceService",
        lambda to: inference_pb2_grpc.add_InferenceServiceServicer_to_server(servers.inference, to),
    )
    with server.running(), grpc.insecure_channel(server.address) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        silent: queue.SimpleQueue[inference_pb2.PredictStreamRequest] = queue.SimpleQueue()
        silent.put(inference_pb2.PredictStreamRequest())
        with pytest.raises(grpc.RpcError) as ended:
            for _ in stub.PredictStream(iter(silent.get, None), timeout=60):
                pass
        silent.put(None)  # type: ignore[arg-type]
    assert ended.value.code() == grpc.StatusCode.CANCELLED


@pytest.mark.parametrize(("total", "share", "most"), [(256, 0.75, 192), (1, 0.5, 1), (2, 0.9, 1)])
def test_share_of_a_total_leaves_something_to_others(total: int, share: float, most: int) -> None:
    assert share_of(total, share) == most
    assert share_of(total, 1.0) == total


@pytest.mark.parametrize("size", [1_500, 150_000])
def test_message_that_is_too_large_is_refused_as_input_and_never_as_overload(
    servicer: Servicer, size: int
) -> None:
    server = make_server(servicer, max_message_bytes=1024)
    with server.running():
        with TrainerClient(server.address) as client:
            with pytest.raises(errors.MessageTooLargeError, match="larger than") as refused:
                client.get_job("x" * size)
            assert client.get_job("fine").job_id == "ok"
        assert int(refused.value.metadata["size_bytes"]) >= size
        with TrainerClient(server.address, max_message_bytes=1024) as client:
            with pytest.raises(errors.MessageTooLargeError, match="than the 1024 bytes"):
                client.get_job("x" * size)  # which is not sent
        with grpc.insecure_channel(server.address) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GET)
            with pytest.raises(grpc.RpcError) as raw:
                call(bytes(1_025), timeout=10)
    assert raw.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert details(raw.value) == ("MESSAGE_TOO_LARGE", None)
    assert servicer.handled == ["fine"]


def test_health_lists_services_and_not_policies(servicer: Servicer) -> None:
    server = make_server(servicer)
    with server.running(), grpc.insecure_channel(server.address) as channel:
        server.set_serving(True)
        server.set_health("tradewind.policy/btc", serving=True)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.List(messages.HealthListRequest(), timeout=10)
    serving = health_pb2.HealthCheckResponse.SERVING
    assert {name: state.status for name, state in answer.statuses.items()} == {
        "": serving,
        SERVICE: serving,
    }


def test_watches_of_health_are_bounded_and_count_for_no_call(servicer: Servicer) -> None:
    limits = NetworkLimits(health_watches=4, caller_share=1.0)
    server = make_server(servicer, max_concurrent_calls=1, threads=1, limits=limits)
    with server.running(), grpc.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(4)]
        for watch in watches:
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.RpcError) as refused:
            next(stub.Watch(health_pb2.HealthCheckRequest(), timeout=60))
        assert details(refused.value)[0] == "TOO_MANY_WATCHES"
        with TrainerClient(server.address) as client:
            assert client.get_job("fine").job_id == "ok"
        server.set_serving(True)
        for watch in watches:
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            watch.cancel()


def test_server_that_is_open_and_not_running_says_that_it_is_starting(servicer: Servicer) -> None:
    settings = ServerSettings(listen="127.0.0.1:0", drain_s=0)
    server = RpcServer("test", settings, CollectorRegistry(), services=(SERVICE,))
    with server.open(), grpc.insecure_channel(server.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetTrainingJob(trainer_pb2.GetTrainingJobRequest(), timeout=10)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert details(refused.value)[0] == "STARTING"
        assert isinstance(error_from_rpc(refused.value), errors.UnavailableError)
        server.add_service(
            SERVICE, lambda to: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(servicer, to)
        )
        with server.running():
            job = stub.GetTrainingJob(trainer_pb2.GetTrainingJobRequest(), timeout=10).job
            assert job.job_id == "ok"


def test_compilation_is_told_with_the_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("tradewind.kernels.compiled")
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        with compilations_told("risk_service"):
            logger.info("compiling %s", "drawdown")
            logger.info("compiling %s", "another")  # too soon for another line
        logger.info("compiling %s", "later")
    finally:
        logger.setLevel(level)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("risk_service not ready yet: compiling drawdown, kernel 1")


def test_start_that_takes_long_says_what_is_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = ""
    with waiting_told("inference_service", "bundles are proved", patience_s=0.01):
        while not said:
            said = capsys.readouterr().out
    assert said == "inference_service not ready yet: bundles are proved\n"


def test_client_and_probe_reach_this_machine_past_a_proxy(servicer: Servicer) -> None:
    server = make_server(servicer, metrics_listen="127.0.0.1:0")
    proxy = "http://127.0.0.1:1"  # where nothing listens
    environment = {
        **{name: value for name, value in os.environ.items() if "no_proxy" not in name.lower()},
        "http_proxy": proxy,
        "https_proxy": proxy,
        "grpc_proxy": proxy,
    }
    code = (
        "import sys\n"
        "from tradewind.rpc.clients import TrainerClient\n"
        "from tradewind.rpc.server.health import is_healthy\n"
        "with TrainerClient(sys.argv[1], timeout_s=30) as client:\n"
        "    assert client.get_job('fine').job_id == 'ok'\n"
        "assert is_healthy(sys.argv[1], timeout_s=30)\n"
        "from inference_service.workers.metrics import WorkerMetrics\n"
        "class Worker: index, restart_count, metrics_address = 0, 0, sys.argv[2]\n"
        "(ready, *_) = WorkerMetrics([Worker()]).collect()\n"
        "assert ready.samples[0].value == 1.0\n"
    )
    with server.running():
        server.set_serving(True)
        command = [sys.executable, "-c", code, server.address, server.metrics_address]
        run = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert run.returncode == 0, run.stderr


def test_metrics_are_served_while_silent_connections_hold_the_port(servicer: Servicer) -> None:
    from tests.integration.security.raw_http2 import connect

    server = make_server(servicer, metrics_listen="127.0.0.1:0")
    with server.running():
        silent = [connect(server.metrics_address) for _ in range(50)]
        page = f"http://{server.metrics_address}/metrics"
        with urllib.request.urlopen(page, timeout=30) as answer:
            assert b"tradewind_rpc" in answer.read()
        closed = [connection.recv(1) for connection in silent[:30]]
        assert closed == [b""] * 30  # the oldest
        names = [thread.name for thread in threading.enumerate()]
        assert sum("process_request_thread" in name for name in names) <= 16
        for connection in silent:
            connection.close()
