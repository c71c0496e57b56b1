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
    """What the process is to do."""

    config: dict[str, Any]
    """The configuration of the job."""

    checkpoints: CheckpointSettings
    """Where and how often to save the training; the folder is the job's own."""

    elapsed_s: float = 0.0
    """Seconds that the job ran before, in other processes."""

    job_id: str = ""
    """The job, for the log."""

    request_id: str = ""
    """The request that started it, for the log and the bundle; empty for none."""

    traceparent: str = ""
    """The span of that request; empty for none."""

    tracing: TracingSettings | None = None
    """Where spans go; None for no spans."""

    components: tuple[str, ...] = ()
    """Code of one's own that the job may have imported, whatever its configuration names."""


class JobProgress(Settings):
    """The training goes on."""

    kind: Literal["progress"] = "progress"
    """Tells this message from the others."""

    progress: TrainingProgress
    """How far it is."""


class JobCheckpointed(Settings):
    """The training was saved."""

    kind: Literal["checkpointed"] = "checkpointed"
    """Tells this message from the others."""

    timesteps: int
    """Environment steps that the checkpoint has behind it."""


class JobNoted(Settings):
    """Something that whoever looks at the job should know."""

    kind: Literal["noted"] = "noted"
    """Tells this message from the others."""

    text: str
    """What it is, for people."""


class JobSucceeded(Settings):
    """The bundle is published; the last message."""

    kind: Literal["succeeded"] = "succeeded"
    """Tells this message from the others."""

    bundle_version: str
    """The version that was published."""

    bundle_sha256: str
    """The digest of its network."""


class JobFailed(Settings):
    """There will be no bundle; the last message."""

    kind: Literal["failed"] = "failed"
    """Tells this message from the others."""

    stopped_by_risk: bool = False
    """Whether the risk score ended it."""

    error: str
    """Why, for people."""


WorkerEvent: TypeAlias = JobProgress | JobCheckpointed | JobNoted | JobSucceeded | JobFailed
_EVENT: TypeAdapter[WorkerEvent] = TypeAdapter(Annotated[WorkerEvent, Field(discriminator="kind")])


def parse_event(line: bytes) -> WorkerEvent:
    """Reads a line of the event stream.

    Raises:
        pydantic.ValidationError: The line is not a message, such as one cut short by a kill.
    """
    return _EVENT.validate_json(line)
