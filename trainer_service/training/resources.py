"""What a training job may use of its machine."""

import os
from pathlib import Path
from typing import Final

from pydantic import Field, PositiveFloat, PositiveInt

from tradewind.settings import Settings

__all__ = ["JobLimits", "JobResources", "share_of_memory_mb"]

_MIB: Final = 2**20
_MEMINFO: Final = Path("/proc/meminfo")
# The most that a container may use, of the second and the first version of control groups.
_CGROUP_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_SHARE: Final = 0.8
_LEAST_MB: Final = 4096


class JobResources(Settings):
    """What a job may use."""

    timeout_s: PositiveFloat | None = None
    """Seconds it may run, all attempts together; by default the most that the service allows."""

    memory_limit_mb: int | None = Field(default=None, ge=1024)
    """MiB that its process may allocate; by default the most that the service allows. A small job
    needs about 1024 to train, and 3072 with its evaluation."""


class JobLimits(JobResources):
    """The most that a job may ask of a service."""

    timeout_s: PositiveFloat | None = 7 * 86_400.0
    """Seconds it may run, all attempts together; what a job gets that asks for nothing."""

    memory_limit_mb: int | None = Field(default=None, ge=1024)
    """MiB that its process may allocate; what a job gets that asks for nothing. By default its
    slot's share of four fifths of the machine's or the container's memory, 4096 at least; a job
    that may run on a GPU has none by default, for drivers reserve more than they use."""

    total_timesteps: PositiveInt = 1_000_000_000
    """Environment steps."""

    n_envs: int = Field(default=1024, ge=1, le=1024)
    """Environments stepped together."""

    torch_threads: int = Field(default_factory=lambda: min(os.cpu_count() or 1, 256), ge=1, le=256)
    """Threads of one torch operation; by default as many as the machine has processors."""

    buffer_size: PositiveInt = 10_000_000
    """Transitions of a replay buffer, or of a rollout."""

    queued_jobs: PositiveInt = 100
    """Jobs that wait at once; one more is refused."""


def share_of_memory_mb(slots: int) -> int | None:
    """MiB that the job of one of several slots may allocate; None where the memory is unknown."""
    sizes = [_machine_bytes(), *map(_cgroup_bytes, _CGROUP_LIMITS)]
    known = [size for size in sizes if size is not None]
    if not known:
        return None
    return max(_LEAST_MB, int(_SHARE * min(known) / _MIB / max(slots, 1)))


def _machine_bytes() -> int | None:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _cgroup_bytes(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # none, or "max"
        return None
