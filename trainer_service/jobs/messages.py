"""What the process of a job tells the service: one JSON object a line."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from tradewind.settings import Settings
from trainer_service.progress import TrainingProgress

__all__ = ["JobFailed", "JobProgress", "JobSucceeded", "WorkerEvent", "parse_event"]


class JobProgress(Settings):
    """The training goes on."""

    kind: Literal["progress"] = "progress"
    progress: TrainingProgress


class JobSucceeded(Settings):
    """The bundle is published; the last message."""

    kind: Literal["succeeded"] = "succeeded"
    bundle_version: str
    bundle_sha256: str


class JobFailed(Settings):
    """There will be no bundle; the last message."""

    kind: Literal["failed"] = "failed"
    stopped_by_risk: bool
    error: str


WorkerEvent: TypeAlias = JobProgress | JobSucceeded | JobFailed
_EVENT: TypeAdapter[WorkerEvent] = TypeAdapter(Annotated[WorkerEvent, Field(discriminator="kind")])


def parse_event(line: bytes) -> WorkerEvent:
    """Reads a line of the event stream.

    Raises:
        pydantic.ValidationError: The line is not a message, such as one cut short by a kill.
    """
    return _EVENT.validate_json(line)
