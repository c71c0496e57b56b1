"""Training jobs: kept in a database, run by device in processes of their own, resumed."""

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
