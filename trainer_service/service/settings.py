"""What an operator can set about the trainer service."""

from pathlib import Path
from typing import Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from tradewind.rpc import ServerSettings, ServiceSettings
from trainer_service.checkpoints import CheckpointSettings
from trainer_service.jobs import DeviceSlots
from trainer_service.tracking import TrackingConfig
from trainer_service.training.resources import JobLimits

__all__ = ["TrainerServiceSettings"]


class TrainerServiceSettings(ServiceSettings):
    """Settings of the trainer service."""

    # A watched job holds a thread.
    server: ServerSettings = ServerSettings(
        listen="127.0.0.1:50051", metrics_listen="127.0.0.1:9101", threads=64
    )
    """The gRPC server."""

    store: Path = Path("bundles")
    """The bundle store that every job publishes to."""

    signing_key: Path | None = None
    """File with the Ed25519 key that signs every bundle, as `tradewind bundle keygen` makes it;
    without, bundles bear no signature."""

    jobs: str = "sqlite:///runs/jobs.sqlite"
    """URL of the job store: `sqlite:///FILE`, or `postgresql://USER:PASSWORD@HOST:PORT/NAME` which
    several services may share."""

    drafts: Path = Path("runs/drafts")
    """Where the model of a job is kept whose bundle could not be published."""

    files: Path = Path("runs/files")
    """Folder that files named by a job's configuration must lie in. Whoever may start a training
    learns whether a file in it holds bars or a risk policy: nothing else belongs there."""

    risk_policy: Path = Path("config/risk_limits.yaml")
    """The risk policy of a job that names none, which may lie elsewhere."""

    tracking: TrackingConfig = TrackingConfig()
    """Where the trainings can be followed."""

    devices: DeviceSlots = DeviceSlots()
    """Jobs that run at once on each kind of device; each is a process of its own."""

    checkpoints: CheckpointSettings = CheckpointSettings()
    """Where jobs are saved, a folder each, and how often."""

    limits: JobLimits = JobLimits()
    """The most that a job may ask for, and what it gets when it asks for nothing."""

    allow_components: tuple[str, ...] = ()
    """Code of your own that a job may name: algorithms, feature groups, rewards, extractors and
    data sources, as `package.module:Attribute` or by the name that an installed package gives one.
    Whoever may start a training chooses their settings; what is not listed is never imported,
    whatever a request or the job store says."""

    max_attempts: PositiveInt = 3
    """Starts without a new checkpoint after which a job has failed."""

    lease_s: PositiveFloat = 30.0
    """Seconds after which a job whose service died is started again; twice `grace_s` at least, so
    that what is left of the service has ended by then."""

    grace_s: float = Field(default=5.0, gt=0.0)
    """Seconds that a job gets to end by itself before it is killed."""

    @model_validator(mode="after")
    def _check_lease(self) -> Self:
        if self.lease_s < 2.0 * self.grace_s:
            raise ValueError("lease_s must be at least twice grace_s")
        return self

    @property
    def components(self) -> tuple[str, ...]:
        """All code of one's own that a job may have imported: that which it names, and trackers."""
        return (*self.allow_components, *(each.kind for each in self.tracking.trackers))
