"""Command line of the trainer service: `python -m trainer_service --config config/trainer.yaml`."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, ProcessCollector

from tradewind.alerts import AlertKind, Alerts, alerts_of
from tradewind.api.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from tradewind.bundle import SigningKey
from tradewind.errors import FieldViolation, SettingsError
from tradewind.jobs import JobState, TrainingJob
from tradewind.rpc import Flag, RpcServer, run_service
from trainer_service.jobs import (
    JobQueue,
    JobStore,
    RunnerSettings,
    Slot,
    gpu_count,
    plan_slots,
    visible_gpus,
)
from trainer_service.service.admission import AdmissionRules
from trainer_service.service.servicer import TrainerServicer
from trainer_service.service.settings import TrainerServiceSettings
from trainer_service.service.telemetry import Telemetry

__all__ = ["main", "trainer_server"]

_FLAGS = (
    Flag("--store", "store", "the bundle store to publish to", "DIR"),
    Flag("--jobs", "jobs", "the job store, an SQLAlchemy URL", "URL"),
)


@contextlib.contextmanager
def trainer_server(
    settings: TrainerServiceSettings, on_made: Callable[[RpcServer], None] = lambda _: None
) -> Iterator[RpcServer]:
    """Runs the service inside the block; leaving it interrupts the jobs that run.

    Args:
        settings: What the operator set.
        on_made: Called with the server before it opens anything.

    Raises:
        SettingsError: The signing key cannot be read, an address cannot be listened on, the job
            store's URL is not one, or no device of this machine has a slot.
        StorageError: The job store cannot be opened.
    """
    if settings.signing_key is not None:
        SigningKey.load(settings.signing_key)  # refused now, not when the first job has trained
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    slots = _plan_slots(settings)
    service = trainer_pb2.DESCRIPTOR.services_by_name["TrainerService"].full_name
    server = RpcServer("trainer_service", settings.server, registry, services=(service,))
    on_made(server)
    with contextlib.ExitStack() as stack:
        stack.enter_context(server.open())
        store = JobStore(settings.jobs, lease_s=settings.lease_s)
        stack.callback(store.close)
        telemetry = Telemetry(registry, store, slots)
        alerts = stack.enter_context(alerts_of(settings.alerts, "trainer_service"))
        queue = JobQueue(
            store,
            slots,
            RunnerSettings(
                checkpoints=settings.checkpoints,
                grace_s=settings.grace_s,
                max_attempts=settings.max_attempts,
                tracing=settings.server.tracing,
                components=settings.components,
            ),
            queued_jobs=settings.limits.queued_jobs,
            on_start=telemetry.observe_start,
            on_end=partial(_take_note, telemetry, alerts),
        )
        rules = AdmissionRules(
            store=settings.store,
            drafts=settings.drafts,
            signing_key=settings.signing_key,
            files=settings.files,
            risk_policy=settings.risk_policy,
            tracking=settings.tracking,
            limits=settings.limits,
            devices=frozenset(device for slot in slots for device in slot.takes),
            slots=len(slots),
            components=settings.components,
        )
        servicer = TrainerServicer(store, queue, rules, server.traceparent)
        server.add_service(
            service,
            lambda grpc_server: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(
                servicer, grpc_server
            ),
        )
        # Left in this order: not serving any more, jobs interrupted and watchers told, stopped.
        stack.enter_context(server.running())
        stack.enter_context(queue)
        server.set_serving(True)
        stack.callback(server.set_serving, False)
        yield server


def _take_note(telemetry: Telemetry, alerts: Alerts | None, job: TrainingJob, ran_s: float) -> None:
    """Of a job that has ended."""
    telemetry.observe_end(job, ran_s)
    if alerts is not None and job.state in {JobState.FAILED, JobState.STOPPED_BY_RISK}:
        alerts.trouble(AlertKind.JOB_FAILED, job.job_id, f"{job.state.value}: {job.error}")


def _plan_slots(settings: TrainerServiceSettings) -> tuple[Slot, ...]:
    slots = plan_slots(settings.devices, visible_gpus(gpu_count()))
    if not slots:
        violation = FieldViolation("devices", "this machine has no GPU, and cpu has no slots")
        raise SettingsError("trainer settings are refused", [violation])
    return slots


def _serve(settings: TrainerServiceSettings) -> None:
    # At once: a container's first process would ignore a signal that comes while it starts.
    with trainer_server(settings, RpcServer.stop_on_signals) as server:
        server.announce_ready()
        server.wait_for_signal()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit code."""
    return run_service(
        "trainer_service",
        "Trains policies on market data and publishes them as bundles.",
        TrainerServiceSettings,
        _serve,
        _FLAGS,
        arguments,
    )
