"""What the service and the process of a job tell each other: one JSON object a line."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from tradewind.jobs import TrainingProgress
from tradewind.settings import Settings
from tradewind.tracing import TracingSettings
from trainer_service.checkpoints import CheckpointSettings

__all__ = [
    "JobCheckpointed",
    "JobFailed",
    "JobNoted",
    "JobOrder",
    "JobProgress",
    "JobSucceeded",
    "WorkerEvent",
    "parse_event",
]


class JobOrder(Settings):
    """What the process is to do.

    Attributes:
        config: The configuration of the job.
        checkpoints: Where and how often to save the training; the folder is the job's own.
        elapsed_s: Seconds that the job ran before, in other processes.
        job_id: The job, for the log.
        request_id: The request that started it, for the log and the bundle; empty for none.
        traceparent: The span of that request; empty for none.
        tracing: Where spans go; None for no spans.
        components: Code of one's own that the job may have imported, whatever its configuration
            names.
    """

    config: dict[str, Any]
    checkpoints: CheckpointSettings
    elapsed_s: float = 0.0
    job_id: str = ""
    request_id: str = ""
    traceparent: str = ""
    tracing: TracingSettings | None = None
    components: tuple[str, ...] = ()


class JobProgress(Settings):
    """The training goes on."""

    kind: Literal["progress"] = "progress"
    progress: TrainingProgress


class JobCheckpointed(Settings):
    """The training was saved."""

    kind: Literal["checkpointed"] = "checkpointed"
    timesteps: int


class JobNoted(Settings):
    """Something that whoever looks at the job should know."""

    kind: Literal["noted"] = "noted"
    text: str


class JobSucceeded(Settings):
    """The bundle is published; the last message."""

    kind: Literal["succeeded"] = "succeeded"
    bundle_version: str
    bundle_sha256: str


class JobFailed(Settings):
    """There will be no bundle; the last message."""

    kind: Literal["failed"] = "failed"
    stopped_by_risk: bool = False
    error: str


WorkerEvent: TypeAlias = JobProgress | JobCheckpointed | JobNoted | JobSucceeded | JobFailed
_EVENT: TypeAdapter[WorkerEvent] = TypeAdapter(Annotated[WorkerEvent, Field(discriminator="kind")])


def parse_event(line: bytes) -> WorkerEvent:
    """Reads a line of the event stream.

    Raises:
        pydantic.ValidationError: The line is not a message, such as one cut short by a kill.
    """
    return _EVENT.validate_json(line)
