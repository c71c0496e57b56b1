"""The calls of the trainer service: their requests, and what their answers say."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from tradewind.api.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from tradewind.errors import FieldViolation, InvalidInputError
from tradewind.jobs import TrainingJob
from tradewind.rpc.clients.call import Call, Page, Service
from tradewind.rpc.codecs.trainer import read_job

__all__ = [
    "SERVICE",
    "cancel",
    "get_job",
    "list_jobs",
    "start_training",
    "watch",
]

SERVICE = Service(
    full_name="tradewind.api.trainer.v1.TrainerService",
    stub=trainer_pb2_grpc.TrainerServiceStub,
    # A repeated StartTraining gives the job that it started: see `start_training`.
    retried_methods=("StartTraining", "GetTrainingJob", "ListTrainingJobs"),
    # The first StartTraining of a service imports torch, which takes long on a busy machine.
    timeout_s=60.0,
)


def start_training(
    policy: str,
    config: Mapping[str, Any],
    *,
    request_id: str = "",
    timeout_s: float | None = None,
) -> Call[TrainingJob]:
    """Queues a training.

    Args:
        policy: Name of the policy to publish.
        config: What `create_trainer_agent` takes.
        request_id: The same id again gives the job that it started the first time; by default a
            new one, so that a request that has to be sent twice starts one job.
        timeout_s: Deadline in seconds; the client's own by default.

    Raises:
        InvalidInputError: The configuration is refused; the violations name the keys.
        ConflictError: The request id was used for another training.
    """
    try:
        config_json = json.dumps(dict(config))
    except TypeError as problem:
        violation = FieldViolation("config", f"not what JSON can say: {problem}")
        raise InvalidInputError("the training is refused", [violation]) from None
    request = trainer_pb2.StartTrainingRequest(
        policy=policy,
        config_json=config_json,
        request_id=request_id or uuid.uuid4().hex,
    )
    return Call("StartTraining", request, _job, timeout_s)


def get_job(job_id: str, *, timeout_s: float | None = None) -> Call[TrainingJob]:
    """One job.

    Raises:
        JobNotFoundError: No job has that id.
    """
    request = trainer_pb2.GetTrainingJobRequest(job_id=job_id)
    return Call("GetTrainingJob", request, _job, timeout_s)


def list_jobs(*, page_size: int = 0, timeout_s: float | None = None) -> Call[Page[TrainingJob]]:
    """Every job, newest first.

    Args:
        page_size: Jobs that one call brings; 0 for the server's choice.
        timeout_s: Deadline of each of these calls in seconds; the client's own by default.
    """
    request = trainer_pb2.ListTrainingJobsRequest(page_size=page_size)
    return Call(
        "ListTrainingJobs",
        request,
        lambda answer: Page(tuple(map(read_job, answer.jobs)), answer.next_page_token),
        timeout_s,
    )


def watch(job_id: str, *, timeout_s: float | None = None) -> Call[TrainingJob]:
    """The job now, then again at every change, until it has ended.

    Args:
        job_id: The job.
        timeout_s: How long to watch, in seconds; by default to the end.

    Raises:
        JobNotFoundError: No job has that id.
    """
    request = trainer_pb2.WatchTrainingJobRequest(job_id=job_id)
    return Call("WatchTrainingJob", request, _job, timeout_s)


def cancel(job_id: str, *, timeout_s: float | None = None) -> Call[TrainingJob]:
    """Cancels a queued or running job; answers when it has ended.

    Raises:
        JobNotFoundError: No job has that id.
        ConflictError: The job has ended.
    """
    request = trainer_pb2.CancelTrainingJobRequest(job_id=job_id)
    return Call("CancelTrainingJob", request, _job, timeout_s)


def _job(answer: Any) -> TrainingJob:
    return read_job(answer.job)
