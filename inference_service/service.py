"""The service in one process: what is served, the server, and what follows the store."""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector

from inference_service.loading.background import BackgroundLoads
from inference_service.loading.executor import ExecutorGate
from inference_service.loading.loader import BundleLoader
from inference_service.loading.process import LoaderProcess
from inference_service.open_inference import OpenInferenceServicer
from inference_service.prediction import Predictor
from inference_service.registry import LoadedVersion, Registry
from inference_service.routing import (
    RollbackStore,
    Router,
    RoutingFollower,
    RoutingSource,
    RoutingTelemetry,
    ShadowRunner,
)
from inference_service.servicer import InferenceServicer
from inference_service.settings import InferenceSettings
from inference_service.telemetry import Telemetry
from inference_service.watching.memory import MemoryBound
from inference_service.watching.trust import StoreTrust
from inference_service.watching.watcher import StoreWatcher
from tradewind.alerts import AlertKind, Alerts, alerts_of
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.api.open_inference import grpc_predict_v2_pb2, grpc_predict_v2_pb2_grpc
from tradewind.bundle import BundleStore
from tradewind.process.scheduling import core_awake, pin_to_core
from tradewind.rpc import RpcServer
from tradewind.rpc.server.start_notice import waiting_told
from tradewind.serving import Rollback

__all__ = ["POLICY_HEALTH_PREFIX", "serve", "worker_server"]

_LOG = logging.getLogger(__name__)

_STOP_S: Final = 5.0

POLICY_HEALTH_PREFIX = "tradewind.policy/"
"""Before a policy's name: what grpc.health.v1 knows it by, SERVING once a version of it answers."""

_FIRST_SCAN: Final = (
    "the bundles of the store are proved; kernels are compiled for them once on a machine, which "
    "takes up to a minute"
)


# How long a load that has begun is waited for before the other policies are looked at: whoever
# starts a server wants all of them, later none is to wait for a network that hangs.
_PATIENCE_AT_START_S = 15.0
_PATIENCE_S = 1.0


def serve(settings: InferenceSettings, loader: LoaderProcess) -> None:
    """Runs the service in this process until a signal arrives."""
    if settings.pin_cpus:
        pin_to_core(0)
    with (
        core_awake(wanted=settings.keep_awake),
        worker_server(
            settings, loader.requests, share_port=False, on_made=RpcServer.stop_on_signals
        ) as server,
    ):
        server.announce_ready()
        server.wait_for_signal()


@contextlib.contextmanager
def worker_server(
    settings: InferenceSettings,
    load_requests: socket.socket,
    *,
    share_port: bool,
    listen_late: bool = False,
    on_made: Callable[[RpcServer], None] = lambda _: None,
) -> Iterator[RpcServer]:
    """Runs the service inside the block, which begins after the first look at the store.

    Health is SERVING from the moment a policy is served, and that of each policy once it is; an
    empty or missing store is no error. Until it begins, what is not loaded is UNAVAILABLE with the
    reason STARTING.

    Args:
        settings: What the operator set.
        load_requests: Where a LoaderProcess takes requests.
        share_port: Other workers listen on the same port.
        listen_late: They do so already: calls are theirs until this one can answer.
        on_made: Called with the server before the first look at the store: a signal that comes
            meanwhile is then obeyed after it. A container's first process would ignore it.

    Raises:
        SettingsError: An address cannot be listened on, or a trusted key cannot be read.
    """
    if settings.require_signature is False:
        _LOG.warning("bundles that nobody has signed are served: require_signature is false")
    metrics = CollectorRegistry()
    ProcessCollector(registry=metrics)
    server = RpcServer(
        "inference_service",
        settings.server,
        metrics,
        streams=settings.stream_count,
        share_port=share_port,
    )
    on_made(server)
    with contextlib.ExitStack() as stack:
        alerts = stack.enter_context(alerts_of(settings.alerts, "inference_service"))
        parts = _Parts(settings, server, metrics, load_requests, alerts)
        stack.callback(parts.stop)
        if not listen_late:
            stack.enter_context(server.running())
        parts.look_first()
        if listen_late:
            stack.enter_context(server.running())
        parts.follow()
        yield server


class _Parts:
    """What one serving process is made of, put together.

    Args:
        settings: What the operator set.
        server: Answers the calls.
        metrics: Where the metrics are registered.
        load_requests: Where a LoaderProcess takes requests.
        alerts: Told of rollbacks.
    """

    def __init__(
        self,
        settings: InferenceSettings,
        server: RpcServer,
        metrics: CollectorRegistry,
        load_requests: socket.socket,
        alerts: Alerts | None,
    ) -> None:
        self._registry = registry = Registry()
        registry.set_starting(starting=True)
        telemetry = Telemetry(registry, metrics)
        store = BundleStore(settings.store)
        self._router = Router(registry)
        shadows = ShadowRunner(settings.shadow_queue, settings.shadow_answers)
        self._routing = _routing(settings, store, registry, self._router, server, alerts)
        RoutingTelemetry(self._routing, shadows, metrics)
        predictor = Predictor(self._router, telemetry, shadows)
        _add_services(
            server,
            InferenceServicer(registry, predictor, self._routing, shadows, server.caller_of),
            OpenInferenceServicer(registry, predictor, server.is_serving),
        )
        self._stopping = threading.Event()
        self._watcher, self._loads = _watcher(
            settings,
            load_requests,
            self._stopping,
            store,
            registry,
            telemetry,
            self._routing,
            server,
        )
        self._threads = [
            _thread("store", self._watcher.follow, settings.poll_s, self._stopping),
            _thread("routing", self._routing.follow, settings.poll_s, self._stopping),
            _thread("shadows", shadows.follow, self._stopping),
        ]
        self._routing.scan()

    def look_first(self) -> None:
        """Loads what is to serve."""
        with waiting_told("inference_service", _FIRST_SCAN):
            self._watcher.scan_served()
            if self._router.table is not None:
                self._watcher.scan()  # what shares the calls is loaded before the server is ready
                self._routing.scan()
        self._registry.set_starting(starting=False)

    def follow(self) -> None:
        """Begins to follow the store and the routing, and to answer for shadows."""
        self._loads.patience_s = _PATIENCE_S
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends all that."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_STOP_S)


def _thread(name: str, follow: Callable[..., None], *arguments: object) -> threading.Thread:
    """A thread that a file system which hangs does not let the process wait for."""
    return threading.Thread(target=follow, args=arguments, name=name, daemon=True)


def _set_serving(server: RpcServer, policy: str) -> None:
    server.set_serving(True)
    server.set_health(f"{POLICY_HEALTH_PREFIX}{policy}", serving=True)


def _watcher(
    settings: InferenceSettings,
    load_requests: socket.socket,
    stopping: threading.Event,
    store: BundleStore,
    registry: Registry,
    telemetry: Telemetry,
    routing: RoutingFollower,
    server: RpcServer,
) -> tuple[StoreWatcher, BackgroundLoads]:
    trust = StoreTrust(settings.store, settings.trusted, required=settings.require_freshness)
    loader = BundleLoader(
        load_requests,
        settings.loader,
        settings.limits,
        trust.keys,
        settings.slo_us,
        stopping,
        settings.executor,
        # One thread at least stays for the policies that no TorchScript executes.
        ExecutorGate(settings.server.compute_threads - 1),
    )
    loads = BackgroundLoads(loader, _PATIENCE_AT_START_S)

    def load(folder: Path) -> LoadedVersion:
        version = loads(folder)
        routing.scan()  # a routing that came with the store is in force before it can answer
        return version

    def changed(policy: str) -> None:
        routing.scan()
        if policy not in registry.snapshot.served:
            server.set_health(f"{POLICY_HEALTH_PREFIX}{policy}", serving=False)
        if not registry.snapshot.served:
            server.set_serving(False)

    watcher = StoreWatcher(
        store,
        registry,
        load,
        settings.rule_of,
        MemoryBound(registry, settings.max_loaded_mb),
        trust,
        telemetry,
        on_changed=changed,
        routed=routing.versions_of,
    )
    return watcher, loads


def _routing(
    settings: InferenceSettings,
    store: BundleStore,
    registry: Registry,
    router: Router,
    server: RpcServer,
    alerts: Alerts | None,
) -> RoutingFollower:
    def tell(rollback: Rollback) -> None:
        if alerts is not None:
            text = f"{rollback.cause}: {rollback.reason} (by {rollback.name or 'its bounds'})"
            subject = f"variant {rollback.variant} of {rollback.policy}"
            alerts.trouble(AlertKind.ROLLBACK, subject, text)

    rollbacks = RollbackStore(settings.routing_state_folder)
    source = RoutingSource(
        settings.routing_file,
        store,
        lambda policy: settings.rule_of(policy).labels,
        rollbacks,
        is_required=settings.routing is not None,
    )
    return RoutingFollower(
        source,
        registry,
        router,
        rollbacks,
        on_ready=lambda policy: _set_serving(server, policy),
        on_rollback=tell,
    )


def _add_services(
    server: RpcServer, servicer: InferenceServicer, open_inference: OpenInferenceServicer
) -> None:
    server.add_service(
        inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name,
        lambda to: inference_pb2_grpc.add_InferenceServiceServicer_to_server(servicer, to),
        computing=("Predict", "PredictBatch"),
    )
    server.add_service(
        grpc_predict_v2_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name,
        lambda to: grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
            open_inference, to
        ),
        computing=("ModelInfer",),
    )
