"""What an operator can set about the trainer service."""

from pathlib import Path

from pydantic import Field

from tradewind.rpc import ServerSettings
from tradewind.settings import Settings
from trainer_service.tracking import TrackingConfig

__all__ = ["TrainerServiceSettings"]


class TrainerServiceSettings(Settings):
    """Settings of the trainer service.

    Attributes:
        server: The gRPC server.
        store: The bundle store that every job publishes to.
        jobs: SQLAlchemy URL of the job store.
        files: Folder that files named by a job's configuration must lie in.
        tracking: Where the trainings can be followed.
        concurrency: Jobs that run at once; each is a process of its own.
        grace_s: Seconds that a cancelled job gets to end by itself before it is killed.
    """

    # A watched job holds a thread.
    server: ServerSettings = ServerSettings(
        listen="127.0.0.1:50051", metrics_listen="127.0.0.1:9101", threads=64
    )
    store: Path = Path("bundles")
    jobs: str = "sqlite:///runs/jobs.sqlite"
    files: Path = Path()
    tracking: TrackingConfig = TrackingConfig()
    concurrency: int = Field(default=1, ge=1, le=64)
    grace_s: float = Field(default=5.0, gt=0.0)
