"""Command line of the inference service: `python -m inference_service --config FILE`."""

import contextlib
import sys
import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from inference_service.loading import BundleLoader, LoaderProcess
from inference_service.open_inference import OpenInferenceServicer
from inference_service.registry import Registry
from inference_service.servicer import InferenceServicer
from inference_service.settings import InferenceSettings
from inference_service.telemetry import Telemetry
from inference_service.watcher import StoreWatcher
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.api.open_inference import grpc_predict_v2_pb2, grpc_predict_v2_pb2_grpc
from tradewind.bundle import BundleStore
from tradewind.rpc import Flag, RpcServer, run_service

__all__ = ["inference_server", "main"]

_FLAGS = (Flag("--store", "store", "the bundle store", "DIR"),)


@contextlib.contextmanager
def inference_server(settings: InferenceSettings) -> Iterator[RpcServer]:
    """Runs the service inside the block, which begins after the first look at the store.

    Health is SERVING from the moment a policy is served; an empty or missing store is no error.

    Raises:
        SettingsError: An address cannot be listened on.
    """
    metrics = CollectorRegistry()
    registry = Registry(settings.kept_versions)
    telemetry = Telemetry(registry, metrics)
    server = RpcServer("inference_service", settings.server, metrics)
    _add_services(server, registry, telemetry)
    stopping = threading.Event()
    with LoaderProcess() as loader_process:
        load = BundleLoader(
            loader_process.requests, settings.loader, settings.limits, settings.slo_us, stopping
        )
        watcher = StoreWatcher(
            BundleStore(settings.store),
            registry,
            load,
            settings.pinned,
            telemetry,
            on_serving=lambda: server.set_serving(True),
        )
        follower = threading.Thread(
            target=watcher.follow, args=(settings.poll_s, stopping), name="store"
        )
        try:
            with server.running():
                watcher.scan()
                follower.start()
                yield server
        finally:
            stopping.set()
            if follower.is_alive():
                follower.join()


def _add_services(server: RpcServer, registry: Registry, telemetry: Telemetry) -> None:
    servicer = InferenceServicer(registry, telemetry)
    server.add_service(
        inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name,
        lambda to: inference_pb2_grpc.add_InferenceServiceServicer_to_server(servicer, to),
    )
    open_inference = OpenInferenceServicer(registry, telemetry, server.is_serving)
    server.add_service(
        grpc_predict_v2_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name,
        lambda to: grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
            open_inference, to
        ),
    )


def _serve(settings: InferenceSettings) -> None:
    with inference_server(settings) as server:
        server.stop_on_signals()
        server.announce_ready()
        server.wait_for_signal()


def main() -> int:
    """Runs the command line."""
    return run_service(
        "inference_service",
        "Actions of trained policies over gRPC, each verified before it serves.",
        InferenceSettings,
        _serve,
        _FLAGS,
    )


if __name__ == "__main__":
    sys.exit(main())
