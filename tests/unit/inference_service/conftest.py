from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from inference_service.registry import LoadedVersion, Registry
from inference_service.telemetry import Telemetry
from tradewind.bundle import BundleDraft, BundleStore
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
