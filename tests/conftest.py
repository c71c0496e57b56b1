"""Fixtures that every kind of test may use."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.chromium import chromium
from tests.postgres import postgres
from tradewind.bundle import BundleDraft, read_bundle
from tradewind.rpc import ServiceProcess

__all__ = ["chromium", "postgres"]

StartService = Callable[..., ServiceProcess]

# The first example of a test may have to compile the kernels it calls.
settings.register_profile("tradewind", deadline=None)
settings.load_profile("tradewind")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the files with slow tests to the front, and gives these tests time on a busy machine.

    Processes that share the files then end together: the last ones are short.
    """
    slow = [item for item in items if item.get_closest_marker("slow")]
    for item in slow:
        item.add_marker(pytest.mark.timeout(600))
    first = {item.path for item in slow}
    items.sort(key=lambda item: item.path not in first)


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[StartService]:
    """Starts a real service on a free loopback port; every one is stopped when the test ends.

    `start_service("risk_service", "--policy", path)` gives a ServiceProcess with its address.
    """
    with ExitStack() as stack:

        def start(module: str, *arguments: str) -> ServiceProcess:
            flags = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", *arguments]
            process = ServiceProcess(module, flags, log=tmp_path / f"{module}.log")
            return stack.enter_context(process)

        yield start


@pytest.fixture(scope="session")
def released_draft() -> Callable[..., BundleDraft]:
    """A draft of one of the bundles in tests/contract/bundle, with some of its parts changed.

    `released_draft("tiny-dqn")` acts discretely, `released_draft("tiny-sac")` continuously.
    """
    released = Path(__file__).parent / "contract" / "bundle" / "store_v1"

    def make(policy: str = "tiny-dqn", **changes: Any) -> BundleDraft:
        bundle = read_bundle(released / policy / "2026-11-22.1")
        metadata = bundle.metadata
        parts: dict[str, Any] = {
            "name": metadata.name,
            "algo": metadata.algo,
            "policy_pt": bundle.policy_pt,
            "golden": bundle.golden,
            "obs_space": metadata.obs_space,
            "action_space": metadata.action_space,
            "distribution": metadata.distribution,
            "features": metadata.features,
            "risk": metadata.risk,
            "training": metadata.training,
            "slo": metadata.slo,
        }
        return BundleDraft(**{**parts, **changes})

    return make
