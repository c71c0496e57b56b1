"""What a client's caller sees when a server is slow, drains, or says what nobody knows."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from tests.integration.rpc.conftest import Connect
from tradewind import errors
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.api.risk.v1 import risk_pb2, risk_pb2_grpc
from tradewind.api.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from tradewind.jobs import TrainingJob
from tradewind.risk import RiskInputs
from tradewind.rpc import RpcServer, ServerSettings
from tradewind.rpc.clients import (
    AsyncInferenceClient,
    AsyncRiskClient,
    AsyncTrainerClient,
    InferenceClient,
    RiskClient,
    TrainerClient,
)
from tradewind.rpc.codecs.trainer import write_job

Context = grpc.ServicerContext


class Inference(inference_pb2_grpc.InferenceServiceServicer):
    """Answers when it is let."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.ended = threading.Event()

    def Predict(
        self, request: inference_pb2.PredictRequest, context: Context
    ) -> inference_pb2.PredictResponse:
        self.entered.set()
        self.release.wait(10)
        return inference_pb2.PredictResponse(discrete=1)

    def PredictStream(
        self, request_iterator: Iterator[inference_pb2.PredictStreamRequest], context: Context
    ) -> Iterator[inference_pb2.PredictStreamResponse]:
        for request in request_iterator:
            if request.predict.policy == "last":
                break
            if request.predict.policy == "slow":
                self.release.wait(10)
            answer = inference_pb2.PredictResponse(version=request.predict.version)
            yield inference_pb2.PredictStreamResponse(predict=answer)
        self.ended.set()


class Risk(risk_pb2_grpc.RiskServiceServicer):
    """Fails Evaluate and CalculateOnly alike, and demands what nobody knows."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def Evaluate(
        self, request: risk_pb2.EvaluateRequest, context: Context
    ) -> risk_pb2.EvaluateResponse:
        self.called.append("Evaluate")
        if request.account == "new":
            return risk_pb2.EvaluateResponse(action=risk_pb2.Action.ValueType(99))
        raise errors.StorageError("the journal cannot be written")

    def CalculateOnly(
        self, request: risk_pb2.CalculateOnlyRequest, context: Context
    ) -> risk_pb2.CalculateOnlyResponse:
        self.called.append("CalculateOnly")
        if len(self.called) < 3:
            raise errors.UnavailableError("not yet")
        return risk_pb2.CalculateOnlyResponse()


def job(job_id: str) -> trainer_pb2.TrainingJob:
    return write_job(TrainingJob(job_id, "policy", "{}"))


class Trainer(trainer_pb2_grpc.TrainerServiceServicer):
    """Loses the answer to the first request."""

    def __init__(self) -> None:
        self.request_ids: list[str] = []

    def StartTraining(
        self, request: trainer_pb2.StartTrainingRequest, context: Context
    ) -> trainer_pb2.StartTrainingResponse:
        self.request_ids.append(request.request_id)
        if len(self.request_ids) == 1:
            raise errors.UnavailableError("draining")
        return trainer_pb2.StartTrainingResponse(job=job("one"))

    def ListTrainingJobs(
        self, request: trainer_pb2.ListTrainingJobsRequest, context: Context
    ) -> trainer_pb2.ListTrainingJobsResponse:
        page = int(request.page_token or "0")
        jobs = [job(f"{page}{n}") for n in range(request.page_size)]
        token = str(page + 1) if page < 2 else ""
        return trainer_pb2.ListTrainingJobsResponse(jobs=jobs, next_page_token=token)

    def WatchTrainingJob(
        self, request: trainer_pb2.WatchTrainingJobRequest, context: Context
    ) -> Iterator[trainer_pb2.WatchTrainingJobResponse]:
        for job_id in ("1", "2"):
            yield trainer_pb2.WatchTrainingJobResponse(job=job(job_id))
        if request.job_id == "lost":
            raise errors.JobNotFoundError("no job 'lost'")


class Servers:
    """One server of all three services."""

    def __init__(self, grace_s: float = 0.3) -> None:
        self.inference = Inference()  # type: ignore[abstract]  # the rest is UNIMPLEMENTED
        self.risk = Risk()  # type: ignore[abstract]
        self.trainer = Trainer()  # type: ignore[abstract]
        settings = ServerSettings(listen="127.0.0.1:0", drain_s=0, grace_s=grace_s)
        self.rpc = RpcServer("test", settings, CollectorRegistry())
        adders: list[tuple[str, Any]] = [
            (
                "inference.v1.InferenceService",
                lambda to: inference_pb2_grpc.add_InferenceServiceServicer_to_server(
                    self.inference, to
                ),
            ),
            (
                "risk.v1.RiskService",
                lambda to: risk_pb2_grpc.add_RiskServiceServicer_to_server(self.risk, to),
            ),
            (
                "trainer.v1.TrainerService",
                lambda to: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(self.trainer, to),
            ),
        ]
        for name, add in adders:
            self.rpc.add_service(f"tradewind.api.{name}", add)
        self._running = self.rpc.running()
        self._running.__enter__()

    def stop(self) -> None:
        self._running.__exit__(None, None, None)


@pytest.fixture
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.inference.release.set()
    servers.stop()


@pytest.fixture
def inference(connect: Connect, servers: Servers) -> Any:
    return connect(InferenceClient, AsyncInferenceClient, servers.rpc.address, timeout_s=20)


@pytest.fixture
def risk(connect: Connect, servers: Servers) -> Any:
    return connect(RiskClient, AsyncRiskClient, servers.rpc.address, timeout_s=20)


@pytest.fixture
def trainer(connect: Connect, servers: Servers) -> Any:
    return connect(TrainerClient, AsyncTrainerClient, servers.rpc.address, timeout_s=20)


def test_call_with_a_deadline_of_its_own_is_given_up_then(inference: Any) -> None:
    with pytest.raises(errors.RpcError, match="^DEADLINE_EXCEEDED") as late:
        inference.predict([0.0], timeout_s=0.05)
    assert late.value.metadata == {"code": "DEADLINE_EXCEEDED"}


def test_stream_with_a_late_answer_ends_so_that_no_answer_goes_astray(inference: Any) -> None:
    with inference.predict_stream() as stream:
        assert stream.predict([0.0], version="1").version == "1"
        with pytest.raises(errors.RpcError, match=r"gave no answer within 0\.05 s") as late:
            stream.predict([0.0], policy="slow", version="2", timeout_s=0.05)
        assert late.value.metadata == {"code": "DEADLINE_EXCEEDED"}
        with pytest.raises(errors.RpcError, match="gave no answer"):
            stream.predict([0.0], version="3")


def test_stream_that_the_server_ends_says_so(inference: Any) -> None:
    with inference.predict_stream() as stream:
        with pytest.raises(errors.UnavailableError, match="the server ended this PredictStream"):
            stream.predict([0.0], policy="last")


def test_stream_that_is_closed_lets_the_server_end(inference: Any, servers: Servers) -> None:
    with inference.predict_stream() as stream:
        stream.predict([0.0])
        assert not servers.inference.ended.is_set()
    assert servers.inference.ended.wait(10)


def test_stream_with_a_server_that_drains_raises_ours(inference: Any, servers: Servers) -> None:
    with inference.predict_stream() as stream:
        stream.predict([0.0])
        servers.stop()  # after its grace it cancels what is still open
        with pytest.raises(errors.UnavailableError):
            stream.predict([0.0])


def test_call_under_way_while_the_server_drains_is_answered() -> None:
    servers = Servers(grace_s=20)
    with InferenceClient(servers.rpc.address, timeout_s=20) as client:
        answers: list[object] = []
        caller = threading.Thread(target=lambda: answers.append(client.predict([0.0]).action))
        caller.start()
        assert servers.inference.entered.wait(10)
        threading.Timer(0.1, servers.inference.release.set).start()
        servers.stop()
        caller.join(10)
        assert answers == [1]
        with pytest.raises(errors.UnavailableError, match=servers.rpc.address):
            client.predict([0.0])


def test_evaluate_that_fails_is_never_sent_twice(risk: Any, servers: Servers) -> None:
    with pytest.raises(errors.StorageError, match="the journal cannot be written"):
        risk.evaluate(RiskInputs())
    assert servers.risk.called == ["Evaluate"]


def test_evaluate_with_an_action_of_a_newer_server_is_an_error(risk: Any) -> None:
    with pytest.raises(errors.RpcError, match="action 99, unknown here"):
        risk.evaluate(RiskInputs(), account="new")


def test_calculate_only_with_a_server_not_ready_is_retried(risk: Any, servers: Servers) -> None:
    risk.calculate_only(RiskInputs())
    assert servers.risk.called == ["CalculateOnly"] * 3


def test_start_training_with_a_lost_answer_repeats_its_request_id(
    trainer: Any, servers: Servers
) -> None:
    assert trainer.start_training("policy", {"algorithm": "DQN"}).job_id == "one"
    first, second = servers.trainer.request_ids
    assert first == second != ""
    trainer.start_training("policy", {})
    assert servers.trainer.request_ids[-1] != first


def test_start_training_with_a_config_that_json_cannot_say_is_refused(trainer: Any) -> None:
    with pytest.raises(errors.InvalidInputError, match="config: .*not JSON serializable"):
        trainer.start_training("policy", {"data": {"path": Path("bars.csv")}})


def test_list_jobs_goes_through_every_page(trainer: Any) -> None:
    jobs = [job.job_id for job in trainer.list_jobs(page_size=2)]
    assert jobs == ["00", "01", "10", "11", "20", "21"]


def test_watch_gives_every_change_and_then_the_error(trainer: Any) -> None:
    assert [job.job_id for job in trainer.watch("any")] == ["1", "2"]
    with pytest.raises(errors.JobNotFoundError, match="no job 'lost'"):
        list(trainer.watch("lost"))


def test_wait_ready_ends_when_the_server_serves(inference: Any, servers: Servers) -> None:
    assert not inference.is_serving()
    with pytest.raises(errors.UnavailableError, match=r"InferenceService .* within 0\.1 s"):
        inference.wait_ready(0.1)
    threading.Timer(0.1, servers.rpc.set_serving, [True]).start()
    inference.wait_ready(20)
    assert inference.is_serving()
