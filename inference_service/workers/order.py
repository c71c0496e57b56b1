"""What a supervisor tells a worker."""

from dataclasses import dataclass

from inference_service.settings import InferenceSettings

__all__ = ["WorkerOrder"]


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """One worker's part.

    Attributes:
        index: Number of the worker, from 0.
        settings: Those of the service, with the addresses of this worker.
        listen_late: It replaces another one, beside those that listen already.
    """

    index: int
    settings: InferenceSettings
    listen_late: bool = False
