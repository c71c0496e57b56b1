import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tradewind.api.inference.v1 import inference_pb2_grpc
from tradewind.bundle import BundleDraft, BundleStore
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient

PATIENCE_S = 60.0


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "store")


@pytest.fixture
def publish(store: BundleStore, released_draft: Callable[..., BundleDraft]) -> Callable[..., str]:
    """Publishes a version of a released tiny policy and gives its number."""

    def publish(policy: str = "tiny-dqn", **changes: Any) -> str:
        return store.publish(released_draft(policy, **changes)).metadata.version

    return publish


@pytest.fixture
def serve(
    start_service: Callable[..., ServiceProcess], store: BundleStore
) -> Callable[..., ServiceProcess]:
    """Starts the server on the store, with more arguments as given."""
    return lambda *arguments: start_service(
        "inference_service", "--store", str(store.root), *arguments
    )


@pytest.fixture
def connect() -> Iterator[Callable[[ServiceProcess], InferenceClient]]:
    """Typed clients, closed when the test ends."""
    clients: list[InferenceClient] = []

    def connect(server: ServiceProcess) -> InferenceClient:
        clients.append(InferenceClient(server.address, timeout_s=20.0))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def open_stub() -> Iterator[Callable[[ServiceProcess], inference_pb2_grpc.InferenceServiceStub]]:
    """Generated stubs, for what the typed client does not offer."""
    channels: list[grpc.Channel] = []

    def open_stub(server: ServiceProcess) -> inference_pb2_grpc.InferenceServiceStub:
        channels.append(grpc.insecure_channel(server.address))
        return inference_pb2_grpc.InferenceServiceStub(channels[-1])

    yield open_stub
    for channel in channels:
        channel.close()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Asks a running server again and again until a condition holds."""

    def wait_until(condition: Callable[[], bool]) -> None:
        pause, asked = threading.Event(), 0.0
        while not condition():
            assert asked < PATIENCE_S, "the condition did not come true"
            pause.wait(0.05)
            asked += 0.05

    return wait_until
