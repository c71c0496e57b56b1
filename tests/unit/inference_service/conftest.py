from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from inference_service.loading.process import LoaderProcess
from inference_service.registry import LoadedVersion, Registry
from inference_service.telemetry import Telemetry
from inference_service.watching.memory import MemoryBound
from inference_service.watching.trust import StoreTrust
from inference_service.watching.version_rule import VersionRule
from inference_service.watching.watcher import StoreWatcher
from tradewind.bundle import BundleDraft, BundleStore, TrustedKeys
from tradewind.policy import TorchScriptPolicy


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
def load() -> Callable[[Path], LoadedVersion]:
    return lambda folder: LoadedVersion(TorchScriptPolicy.load_bundle(folder), 100_000, 1.0)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def metrics() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def telemetry(registry: Registry, metrics: CollectorRegistry) -> Telemetry:
    return Telemetry(registry, metrics)


@pytest.fixture
def make_watcher(
    store: BundleStore,
    registry: Registry,
    load: Callable[[Path], LoadedVersion],
    telemetry: Telemetry,
) -> Callable[..., StoreWatcher]:
    def make(
        load: Callable[[Path], LoadedVersion] = load,
        on_serving: Callable[[str], None] = lambda policy: None,
        max_mb: float = 1024.0,
        routed: Callable[[str], frozenset[str]] = lambda policy: frozenset(),
        trusted: TrustedKeys | None = None,
        require_freshness: bool = False,
        settle_s: float = 0.0,  # a folder that stays as it is looked at once
        **rules: VersionRule,
    ) -> StoreWatcher:
        return StoreWatcher(
            store,
            registry,
            load,
            lambda policy: rules.get(policy.replace("-", "_"), VersionRule()),
            MemoryBound(registry, max_mb),
            StoreTrust(store.root, trusted, required=require_freshness),
            telemetry,
            on_serving,
            routed,
            settle_s,
        )

    return make


@pytest.fixture(scope="module")
def process() -> Iterator[LoaderProcess]:
    """A real loading process."""
    with LoaderProcess() as process:
        yield process
