"""Command line of the trainer service: `python -m trainer_service --config config/trainer.yaml`."""

import contextlib
import sys
from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from tradewind.api.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from tradewind.rpc import Flag, RpcServer, run_service
from trainer_service.jobs import JobQueue, JobStore
from trainer_service.servicer import TrainerServicer
from trainer_service.settings import TrainerServiceSettings
from trainer_service.telemetry import Telemetry

__all__ = ["main", "trainer_server"]

_FLAGS = (
    Flag("--store", "store", "the bundle store to publish to", "DIR"),
    Flag("--jobs", "jobs", "the job store, an SQLAlchemy URL", "URL"),
)


@contextlib.contextmanager
def trainer_server(settings: TrainerServiceSettings) -> Iterator[RpcServer]:
    """Runs the service inside the block; leaving it ends the jobs that run.

    Raises:
        SettingsError: An address cannot be listened on, or the job store's URL is not one.
        StorageError: The job store cannot be opened.
    """
    registry = CollectorRegistry()
    with contextlib.ExitStack() as stack:
        store = JobStore(settings.jobs)
        stack.callback(store.close)
        telemetry = Telemetry(registry, store)
        queue = JobQueue(
            store,
            concurrency=settings.concurrency,
            grace_s=settings.grace_s,
            on_end=telemetry.observe_end,
        )
        servicer = TrainerServicer(store, queue, settings.store, settings.files, settings.tracking)
        server = RpcServer("trainer_service", settings.server, registry)
        server.add_service(
            trainer_pb2.DESCRIPTOR.services_by_name["TrainerService"].full_name,
            lambda grpc_server: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(
                servicer, grpc_server
            ),
        )
        # Left in this order: not serving any more, the jobs ended and their watchers told, stopped.
        stack.enter_context(server.running())
        stack.enter_context(queue)
        server.set_serving(True)
        stack.callback(server.set_serving, False)
        yield server


def _serve(settings: TrainerServiceSettings) -> None:
    with trainer_server(settings) as server:
        server.stop_on_signals()
        server.announce_ready()
        server.wait_for_signal()


def main() -> int:
    """Runs the command line."""
    return run_service(
        "trainer_service",
        "Trains policies on market data and publishes them as bundles.",
        TrainerServiceSettings,
        _serve,
        _FLAGS,
    )


if __name__ == "__main__":
    sys.exit(main())
