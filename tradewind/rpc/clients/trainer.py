"""Typed client of the trainer service."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tradewind.api.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from tradewind.rpc.clients.channel import Addresses
from tradewind.rpc.clients.client import Client, raise_ours

__all__ = ["ENDED_STATES", "TrainerClient"]

_SERVICE = "tradewind.api.trainer.v1.TrainerService"
_RETRIED = ("GetTrainingJob", "ListTrainingJobs")

ENDED_STATES = frozenset(
    {
        trainer_pb2.TRAINING_JOB_STATE_SUCCEEDED,
        trainer_pb2.TRAINING_JOB_STATE_FAILED,
        trainer_pb2.TRAINING_JOB_STATE_CANCELLED,
        trainer_pb2.TRAINING_JOB_STATE_STOPPED_BY_RISK,
    }
)
"""States that a job does not leave."""


class TrainerClient(Client):
    """Calls the trainer service.

    Args:
        address: `HOST:PORT` or `unix:PATH`; or several `IP:PORT`, with commas between or as a
            sequence, whose servers then get calls in turn.
        timeout_s: Deadline of a call, in seconds; watching a job has none.
    """

    def __init__(self, address: Addresses, *, timeout_s: float = 10.0) -> None:
        super().__init__(address, _SERVICE, _RETRIED, timeout_s)
        self._stub = trainer_pb2_grpc.TrainerServiceStub(self._channel)

    def start_training(
        self, policy: str, config: Mapping[str, Any], *, request_id: str = ""
    ) -> trainer_pb2.TrainingJob:
        """Queues a training.

        Args:
            policy: Name of the policy to publish.
            config: What `create_trainer_agent` takes.
            request_id: The same id again gives the job that it started the first time.

        Raises:
            InvalidInputError: The configuration is refused; the violations name the keys.
        """
        request = trainer_pb2.StartTrainingRequest(
            policy=policy, config_json=json.dumps(dict(config)), request_id=request_id
        )
        with raise_ours():
            return self._stub.StartTraining(request, timeout=self._timeout_s).job

    def watch(self, job_id: str) -> Iterator[trainer_pb2.TrainingJob]:
        """The job now, then again at every change, until it has ended.

        Raises:
            JobNotFoundError: No job has that id.
        """
        with raise_ours():
            request = trainer_pb2.WatchTrainingJobRequest(job_id=job_id)
            for answer in self._stub.WatchTrainingJob(request):
                yield answer.job

    def get_job(self, job_id: str) -> trainer_pb2.TrainingJob:
        """One job.

        Raises:
            JobNotFoundError: No job has that id.
        """
        with raise_ours():
            request = trainer_pb2.GetTrainingJobRequest(job_id=job_id)
            return self._stub.GetTrainingJob(request, timeout=self._timeout_s).job

    def cancel(self, job_id: str) -> trainer_pb2.TrainingJob:
        """Cancels a queued or running job.

        Raises:
            JobNotFoundError: No job has that id.
            ConflictError: The job has ended.
        """
        with raise_ours():
            request = trainer_pb2.CancelTrainingJobRequest(job_id=job_id)
            return self._stub.CancelTrainingJob(request, timeout=self._timeout_s).job
