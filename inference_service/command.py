"""Command line of the inference service: `python -m inference_service --config FILE`."""

from collections.abc import Sequence

from inference_service.loading.process import LoaderProcess
from inference_service.settings import InferenceSettings
from inference_service.workers.supervisor import supervise
from tradewind.rpc import Flag, run_service

__all__ = ["main"]

_FLAGS = (
    Flag("--store", "store", "the bundle store", "DIR"),
    Flag("--workers", "workers", "processes that share the port", "N"),
)


def _serve(settings: InferenceSettings) -> None:
    if settings.workers > 1:
        supervise(settings)
        return
    with LoaderProcess(settings.server.logging) as loader:
        # Imported while the loading process imports torch; and a supervisor does without it.
        from inference_service.service import serve

        serve(settings, loader)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit code."""
    return run_service(
        "inference_service",
        "Actions of trained policies over gRPC, each verified before it serves.",
        InferenceSettings,
        _serve,
        _FLAGS,
        arguments,
    )
