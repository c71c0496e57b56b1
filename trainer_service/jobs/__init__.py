"""Training jobs: kept in a database, run by device in processes of their own, resumed.

The process of a job imports its part of this package without the others, which bring the database.
"""

from typing import TYPE_CHECKING

from tradewind.lazy import lazy_names

if TYPE_CHECKING:
    from trainer_service.jobs.queue import JobQueue
    from trainer_service.jobs.runner import RunnerSettings
    from trainer_service.jobs.slots import DeviceSlots, Slot, gpu_count, plan_slots, visible_gpus
    from trainer_service.jobs.store import JobStore

__all__ = [
    "DeviceSlots",
    "JobQueue",
    "JobStore",
    "RunnerSettings",
    "Slot",
    "gpu_count",
    "plan_slots",
    "visible_gpus",
]

_MODULES = {
    "DeviceSlots": "slots",
    "JobQueue": "queue",
    "JobStore": "store",
    "RunnerSettings": "runner",
    "Slot": "slots",
    "gpu_count": "slots",
    "plan_slots": "slots",
    "visible_gpus": "slots",
}

__getattr__ = lazy_names(__name__, _MODULES)
