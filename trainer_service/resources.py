"""What a training job may use of its machine."""

from pydantic import Field, PositiveFloat

from tradewind.settings import Settings

__all__ = ["JobResources"]


class JobResources(Settings):
    """What a job may use."""

    timeout_s: PositiveFloat | None = None
    """Seconds it may run, all attempts together; by default the most that the service allows."""

    memory_limit_mb: int | None = Field(default=None, ge=1024)
    """MiB that its process may allocate; by default the most that the service allows. A small job
    needs about 1024 to train, and 3072 with its evaluation."""
