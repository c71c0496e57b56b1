"""RpcServer with a servicer that fails in every way, over real gRPC."""

import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from prometheus_client import CollectorRegistry

from tradewind import errors
from tradewind.api.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from tradewind.jobs import TrainingJob
from tradewind.rpc import RpcServer, ServerSettings, error_from_rpc
from tradewind.rpc.clients import TrainerClient
from tradewind.rpc.codecs.trainer import write_job

SERVICE = "tradewind.api.trainer.v1.TrainerService"
Context = grpc.ServicerContext


def job(job_id: str) -> trainer_pb2.TrainingJob:
    return write_job(TrainingJob(job_id, "policy", "{}"))


class Servicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Raises what the job id asks for."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.handled: list[str] = []
        self.threads: set[str] = set()

    def GetTrainingJob(
        self, request: trainer_pb2.GetTrainingJobRequest, context: Context
    ) -> trainer_pb2.GetTrainingJobResponse:
        self.handled.append(request.job_id)
        self.threads.add(threading.current_thread().name.partition("_")[0])
        if request.job_id == "slow":
            self.entered.set()
            self.release.wait(10)
        if request.job_id == "hold":  # the thread that accepts calls, which runs callbacks
            context.add_callback(self._hold)
        if request.job_id == "bad":
            raise errors.SettingsError("config is refused", [errors.FieldViolation("a", "no")])
        if request.job_id == "none":
            raise errors.JobNotFoundError("no job 'none'", metadata={"job_id": "none"})
        if request.job_id == "defect":
            raise ZeroDivisionError("inside")
        return trainer_pb2.GetTrainingJobResponse(job=job("ok"))

    def _hold(self) -> None:
        self.release.wait(10)

    def WatchTrainingJob(
        self, request: trainer_pb2.WatchTrainingJobRequest, context: Context
    ) -> Iterator[trainer_pb2.WatchTrainingJobResponse]:
        yield trainer_pb2.WatchTrainingJobResponse(job=job("1"))
        raise errors.OverloadedError("enough")


@pytest.fixture
def servicer() -> Servicer:
    return Servicer()  # type: ignore[abstract]  # the other calls answer UNIMPLEMENTED


def make_server(servicer: Servicer, **settings: Any) -> RpcServer:
    values = {"listen": "127.0.0.1:0", "drain_s": 0, **settings}
    server = RpcServer("test", ServerSettings(**values), CollectorRegistry())
    server.add_service(
        SERVICE, lambda to: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(servicer, to)
    )
    return server


@pytest.fixture
def server(servicer: Servicer) -> RpcServer:
    return make_server(servicer)


def test_call_with_each_error_raises_it_at_the_client(
    server: RpcServer, caplog: pytest.LogCaptureFixture
) -> None:
    with server.running(), TrainerClient(server.address) as client:
        with pytest.raises(errors.SettingsError, match="^config is refused: a: no$") as bad:
            client.get_job("bad")
        with pytest.raises(errors.JobNotFoundError, match="no job 'none'") as none:
            client.get_job("none")
        with pytest.raises(errors.RpcError, match="^INTERNAL: internal error") as defect:
            client.get_job("defect")
        assert client.get_job("fine").job_id == "ok"
    assert bad.value.violations == (errors.FieldViolation("a", "no"),)
    assert none.value.metadata == {"job_id": "none"}
    assert "inside" not in str(defect.value)
    assert "ZeroDivisionError: inside" in caplog.text


def test_stream_with_an_error_after_a_message_delivers_both(server: RpcServer) -> None:
    with server.running(), TrainerClient(server.address) as client:
        jobs = client.watch("any")
        assert next(jobs).job_id == "1"
        with pytest.raises(errors.OverloadedError, match="enough"):
            next(jobs)


def test_call_over_the_limit_is_refused_at_once(servicer: Servicer) -> None:
    # Its own: a call counts a little longer than its client waits for it.
    server = make_server(servicer, max_concurrent_calls=1)
    with server.running(), grpc.insecure_channel(server.address) as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        slow = stub.GetTrainingJob.future(trainer_pb2.GetTrainingJobRequest(job_id="slow"))
        assert servicer.entered.wait(10)
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetTrainingJob(trainer_pb2.GetTrainingJobRequest(), timeout=10)
        servicer.release.set()
        assert slow.result(10).job.job_id == "ok"
    assert isinstance(error_from_rpc(refused.value), errors.OverloadedError)


def test_flood_of_open_calls_is_refused_as_overload_and_never_cancelled(
    servicer: Servicer,
) -> None:
    settings = ServerSettings(listen="127.0.0.1:0", drain_s=0, max_concurrent_calls=64)
    server = RpcServer("test", settings, CollectorRegistry())
    server.add_service(
        SERVICE,
        lambda to: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(servicer, to),
        computing=("GetTrainingJob",),
    )
    with server.running(), grpc.insecure_channel(server.address) as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        request = trainer_pb2.GetTrainingJobRequest(job_id="fine")
        stub.GetTrainingJob(trainer_pb2.GetTrainingJobRequest(job_id="hold"), timeout=10)
        # More than gRPC's core lets wait by itself (1,000 to 3,000) before it cancels calls.
        calls = [stub.GetTrainingJob.future(request, timeout=60) for _ in range(4_000)]
        servicer.release.set()
        codes = Counter(call.code() for call in calls)
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert servicer.threads == {"compute"}


def test_call_past_its_deadline_names_the_code(server: RpcServer, servicer: Servicer) -> None:
    with server.running(), TrainerClient(server.address, timeout_s=0.05) as client:
        with pytest.raises(errors.RpcError, match="DEADLINE_EXCEEDED"):
            client.get_job("slow")
        servicer.release.set()


def test_call_whose_deadline_passed_in_the_queue_never_reaches_its_handler(
    servicer: Servicer,
) -> None:
    server = make_server(servicer, threads=1)
    with server.running(), grpc.insecure_channel(server.address) as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        slow = stub.GetTrainingJob.future(trainer_pb2.GetTrainingJobRequest(job_id="slow"))
        assert servicer.entered.wait(10)
        with TrainerClient(server.address, timeout_s=0.1) as client:
            with pytest.raises(errors.RpcError, match="DEADLINE_EXCEEDED"):
                client.get_job("queued")
        # The server counts the same tenth of a second from when it has heard of the call.
        threading.Event().wait(1.0)
        servicer.release.set()
        assert slow.result(10).job.job_id == "ok"
        # The only thread takes calls in turn: this one comes after the one that was given up.
        stub.GetTrainingJob(trainer_pb2.GetTrainingJobRequest(job_id="last"), timeout=10)
    assert servicer.handled == ["slow", "last"]


def test_health_follows_set_serving_and_the_drain(server: RpcServer) -> None:
    with server.running():
        with grpc.insecure_channel(server.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            states = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)  # type: ignore[attr-defined]
            assert next(states).status == health_pb2.HealthCheckResponse.NOT_SERVING
            server.set_serving(True)
            assert next(states).status == health_pb2.HealthCheckResponse.SERVING
        with TrainerClient(server.address) as client:
            assert client.is_serving()
            server.set_serving(False)
            assert not client.is_serving()


def test_drain_with_a_call_under_way_lets_it_end(server: RpcServer, servicer: Servicer) -> None:
    with server.running():
        channel = grpc.insecure_channel(server.address)
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        slow = stub.GetTrainingJob.future(trainer_pb2.GetTrainingJobRequest(job_id="slow"))
        assert servicer.entered.wait(10)
        threading.Timer(0.2, servicer.release.set).start()
    assert slow.result(10).job.job_id == "ok"
    channel.close()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_of_either_version_lists_and_describes_every_service(
    server: RpcServer, version: str
) -> None:
    with server.running(), grpc.insecure_channel(server.address) as channel:
        reflect = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        listed = next(reflect(iter([question]), timeout=10)).list_services_response.service
        names = [service.name for service in listed]
        described = reflect(
            (reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in names),
            timeout=10,
        )
        files = [answer.file_descriptor_response.file_descriptor_proto for answer in described]
    assert {SERVICE, f"grpc.reflection.{version}.ServerReflection"} <= set(names)
    assert len(files) == len(names)
    assert all(files)
    for name, (own, *_) in zip(names, files, strict=True):
        assert descriptor_pb2.FileDescriptorProto.FromString(own).package == name.rpartition(".")[0]


def test_metrics_count_calls_by_code(servicer: Servicer) -> None:
    server = make_server(servicer, metrics_listen="127.0.0.1:0")
    with server.running(), TrainerClient(server.address) as client:
        client.get_job("fine")
        with pytest.raises(errors.NotFoundError):
            client.get_job("none")
        with urllib.request.urlopen(f"http://{server.metrics_address}/metrics") as page:
            text = page.read().decode()
    method = f'method="/{SERVICE}/GetTrainingJob"'
    assert f'tradewind_rpc_handled_total{{code="OK",{method}}} 1.0' in text
    assert f'tradewind_rpc_handled_total{{code="NOT_FOUND",{method}}} 1.0' in text


def test_server_with_unix_socket_answers(servicer: Servicer, tmp_path: Path) -> None:
    server = make_server(servicer, listen=f"unix:{tmp_path}/socket")
    with server.running(), TrainerClient(server.address) as client:
        assert client.get_job("fine").job_id == "ok"


def test_server_with_a_taken_port_says_so(server: RpcServer) -> None:
    with server.running():
        settings = ServerSettings(listen=server.address)
        second = RpcServer("second", settings, CollectorRegistry())
        with pytest.raises(errors.SettingsError, match=f"cannot listen on {server.address}"):
            with second.running():
                pass
