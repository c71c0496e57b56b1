"""Transport of the trainer service: messages in, domain calls, messages out."""

from collections.abc import Callable, Iterator

import grpc

from tradewind.api.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from tradewind.errors import FieldViolation, InvalidInputError
from tradewind.rpc.codecs.field_paths import renamed
from tradewind.rpc.codecs.trainer import write_job
from trainer_service.jobs import JobQueue, JobStore
from trainer_service.service.admission import AdmissionRules, admit

__all__ = ["TrainerServicer"]

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 500
_MAX_REQUEST_ID = 256


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Answers the calls of TrainerService.

    Args:
        store: The jobs.
        queue: Runs them.
        rules: What jobs may have.
        traceparent: Names the span of the call that is answered.
    """

    def __init__(
        self,
        store: JobStore,
        queue: JobQueue,
        rules: AdmissionRules,
        traceparent: Callable[[], str],
    ) -> None:
        self._store = store
        self._queue = queue
        self._rules = rules
        self._traceparent = traceparent

    def StartTraining(
        self, request: trainer_pb2.StartTrainingRequest, _context: grpc.ServicerContext
    ) -> trainer_pb2.StartTrainingResponse:
        """Checks a configuration and queues its job."""
        if len(request.request_id) > _MAX_REQUEST_ID:
            raise _refusal("request_id", f"must not be longer than {_MAX_REQUEST_ID} characters")
        try:
            config = admit(request.policy, request.config_json, self._rules)
        except InvalidInputError as error:
            raise renamed(error, _in_request) from None
        job = self._queue.add(
            request.policy,
            config.model_dump_json(),
            request.request_id,
            self._traceparent(),
        )
        return trainer_pb2.StartTrainingResponse(job=write_job(job))

    def GetTrainingJob(
        self, request: trainer_pb2.GetTrainingJobRequest, _context: grpc.ServicerContext
    ) -> trainer_pb2.GetTrainingJobResponse:
        """One job."""
        job = self._store.get(request.job_id)
        return trainer_pb2.GetTrainingJobResponse(job=write_job(job))

    def ListTrainingJobs(
        self, request: trainer_pb2.ListTrainingJobsRequest, _context: grpc.ServicerContext
    ) -> trainer_pb2.ListTrainingJobsResponse:
        """A page of jobs, newest first."""
        if request.page_size < 0:
            raise _refusal("page_size", f"must not be negative: {request.page_size}")
        page_size = min(request.page_size or _DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE)
        jobs, next_page_token = self._store.list_page(page_size, request.page_token)
        return trainer_pb2.ListTrainingJobsResponse(
            jobs=map(write_job, jobs), next_page_token=next_page_token
        )

    def WatchTrainingJob(
        self, request: trainer_pb2.WatchTrainingJobRequest, context: grpc.ServicerContext
    ) -> Iterator[trainer_pb2.WatchTrainingJobResponse]:
        """The job now, then again at every change, until it has ended."""
        context.add_callback(self._queue.wake)
        for job in self._queue.watch(request.job_id, lambda: not context.is_active()):
            yield trainer_pb2.WatchTrainingJobResponse(job=write_job(job))

    def CancelTrainingJob(
        self, request: trainer_pb2.CancelTrainingJobRequest, context: grpc.ServicerContext
    ) -> trainer_pb2.CancelTrainingJobResponse:
        """Cancels a job; answers when it has ended."""
        context.add_callback(self._queue.wake)
        job = self._queue.cancel(request.job_id, lambda: not context.is_active())
        return trainer_pb2.CancelTrainingJobResponse(job=write_job(job))


def _in_request(field: str) -> str:
    """Where a key of the configuration stands in the request."""
    return f"config_json.{field}" if field not in ("", "policy", "config_json") else field


def _refusal(field: str, description: str) -> InvalidInputError:
    return InvalidInputError("request is refused", [FieldViolation(field, description)])
