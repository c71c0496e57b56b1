import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from inference_service.loading.process import LoaderProcess
from inference_service.service import worker_server
from inference_service.settings import InferenceSettings
from tradewind.api.inference.v1 import inference_pb2_grpc
from tradewind.bundle import BundleDraft, BundleStore
from tradewind.rpc import RpcServer, ServerSettings, ServiceProcess
from tradewind.rpc.clients import InferenceClient

PATIENCE_S = 60.0

ServeHere = Callable[..., RpcServer]


@pytest.fixture(scope="session")
def loader() -> Iterator[LoaderProcess]:
    """One for all the servers in this process, as the workers of a service share theirs."""
    with LoaderProcess() as loader:
        yield loader


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


@pytest.fixture(scope="module")
def serve_here_for_all(loader: LoaderProcess) -> Iterator[ServeHere]:
    """Serves a store in this process until the tests of the module have ended."""
    with ExitStack() as stack:
        yield lambda store, **settings: stack.enter_context(_server(loader, store, **settings))


@pytest.fixture
def serve_here(loader: LoaderProcess, store: BundleStore) -> Iterator[ServeHere]:
    """Serves the store of the test in this process, with settings that differ as given."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(_server(loader, store, **settings))


def _server(
    loader: LoaderProcess, store: BundleStore, **settings: Any
) -> AbstractContextManager[RpcServer]:
    values = {
        "store": store.root,
        "poll_s": 0.02,
        "server": ServerSettings(listen="127.0.0.1:0", drain_s=0.0),
        **settings,
    }
    return worker_server(InferenceSettings(**values), loader.requests, share_port=False)


@pytest.fixture
def connect() -> Iterator[Callable[[ServiceProcess | RpcServer], InferenceClient]]:
    """Typed clients, closed when the test ends."""
    clients: list[InferenceClient] = []

    def connect(server: ServiceProcess | RpcServer) -> InferenceClient:
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
