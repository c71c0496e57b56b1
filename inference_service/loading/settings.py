"""What an operator can set about loading and about executing TorchScript."""

from pydantic import Field

from tradewind.settings import Settings

__all__ = ["ExecutorSettings", "LoaderSettings"]


class LoaderSettings(Settings):
    """Bounds of the process that loads one bundle; one that exceeds them is quarantined."""

    timeout_s: float = Field(default=60.0, gt=0.0, le=3600.0)
    """Seconds from opening the folder to the proved network."""

    memory_mb: int = Field(default=4096, ge=512)
    """Most memory it may take, torch's own 300 MB included."""

    allow_unsealed: bool = False
    """Loads and executes TorchScript also where the kernel lacks seccomp or Landlock, with what it
    has. Without, no bundle serves there: a bundle could do what the service may, if it got past the
    check of its operations."""


class ExecutorSettings(Settings):
    """Bounds of a process that executes a network which the compiled runtime does not know."""

    timeout_s: float = Field(default=5.0, gt=0.0, le=60.0)
    """Seconds of one call; then the process is killed and another one started."""

    start_timeout_s: float = Field(default=60.0, gt=0.0, le=600.0)
    """Seconds until a started process has loaded the network; then likewise."""

    memory_mb: int = Field(default=2048, ge=512)
    """Most memory it may take, torch's own 300 MB included."""

    max_waiting: int = Field(default=16, ge=0, le=1024)
    """Calls that may wait for their turn at one network; one more is refused with
    RESOURCE_EXHAUSTED, and so is every call while the one before is slow."""

    slow_s: float = Field(default=0.1, gt=0.0, le=60.0)
    """Seconds after which a call under way counts as slow."""

    kills: int = Field(default=3, ge=1, le=100)
    """Processes of one version that may hang or end within ten minutes before the version is
    quarantined."""
