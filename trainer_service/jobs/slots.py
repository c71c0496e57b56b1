"""Which devices jobs may learn on, and how many jobs on each at once."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tradewind.settings import Settings

__all__ = ["DeviceSlots", "Slot", "gpu_count", "plan_slots", "visible_gpus"]

_VISIBLE = "CUDA_VISIBLE_DEVICES"
# Without one of these no GPU can be opened: NVIDIA's, WSL's, AMD's.
_GPU_NODES = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))


class DeviceSlots(Settings):
    """Jobs that run at once on each kind of device; each is a process of its own."""

    cpu: int = Field(default=1, ge=0, le=64)
    """Jobs that learn on the processor."""

    cuda: int = Field(default=1, ge=0, le=64)
    """Jobs that learn on GPUs, spread over those there are; without a GPU there are none."""

    @model_validator(mode="after")
    def _check_some(self) -> "DeviceSlots":
        if self.cpu + self.cuda == 0:
            raise ValueError("at least one device needs a slot, or no job would ever run")
        return self


@dataclass(frozen=True)
class Slot:
    """A place where one job at a time runs.

    Attributes:
        name: Its name in logs, e.g. "cuda-0".
        device: What a job learns on here.
        takes: The devices that a job may have asked for to run here.
        environment: Environment variables of the job's process.
    """

    name: str
    device: Literal["cpu", "cuda"]
    takes: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def plan_slots(devices: DeviceSlots, gpus: Sequence[str]) -> tuple[Slot, ...]:
    """Spreads the slots over the devices of this machine.

    A job that asks for `auto` runs on a GPU where the service has slots for one, else on the
    processor. The process of a slot sees one GPU, or none.

    Args:
        devices: How many slots.
        gpus: The GPUs, as CUDA_VISIBLE_DEVICES names them.
    """
    cuda = [
        Slot(f"cuda-{index}", "cuda", ("cuda", "auto"), {_VISIBLE: gpus[index % len(gpus)]})
        for index in range(devices.cuda if gpus else 0)
    ]
    cpu_takes = ("cpu",) if cuda else ("cpu", "auto")
    cpu = [Slot(f"cpu-{index}", "cpu", cpu_takes, {_VISIBLE: ""}) for index in range(devices.cpu)]
    return (*cuda, *cpu)


def gpu_count() -> int:
    """GPUs that torch can learn on; torch is imported only where there may be one."""
    if not any(node.exists() for node in _GPU_NODES):
        return 0
    import torch

    return torch.cuda.device_count()


def visible_gpus(count: int) -> tuple[str, ...]:
    """Names of the GPUs that this process may use.

    Args:
        count: How many there are, by `gpu_count`.
    """
    named = [name.strip() for name in os.environ.get(_VISIBLE, "").split(",") if name.strip()]
    return tuple(named[:count]) if named else tuple(map(str, range(count)))
