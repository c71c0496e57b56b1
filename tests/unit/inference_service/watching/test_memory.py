from collections.abc import Callable
from pathlib import Path

import pytest

from inference_service.registry import LoadedVersion, Registry
from inference_service.watching.version_rule import VersionRule
from inference_service.watching.watcher import StoreWatcher
from tradewind.bundle import BundleStore

MakeWatcher = Callable[..., StoreWatcher]
Publish = Callable[..., str]


def loaded(registry: Registry) -> list[str]:
    return list(registry.snapshot.loaded["tiny-dqn"])


def served(registry: Registry) -> dict[str, str]:
    return {name: version.version for name, version in registry.snapshot.served.items()}


def quarantined(registry: Registry) -> dict[str, str]:
    return {key[1]: entry.reason for key, entry in registry.snapshot.quarantined.items()}


def labels(registry: Registry) -> dict[str, str]:
    return {
        label: version.version
        for label, version in registry.snapshot.labelled.get("tiny-dqn", {}).items()
    }


@pytest.fixture
def first(publish: Publish) -> str:
    """A published version."""
    return publish()


@pytest.fixture
def size_mb(store: BundleStore, first: str, load: Callable[[Path], LoadedVersion]) -> float:
    """What a version of tiny-dqn takes."""
    return load(store.path("tiny-dqn", first)).memory_bytes / 2**20


def test_memory_bound_lets_go_of_what_nothing_names_and_refuses_what_does_not_fit(
    make_watcher: MakeWatcher,
    registry: Registry,
    store: BundleStore,
    publish: Publish,
    first: str,
    size_mb: float,
) -> None:
    versions = [first]
    rule = VersionRule(keep_all=True)
    watcher = make_watcher(max_mb=2.5 * size_mb, tiny_dqn=rule)
    watcher.scan()
    versions.append(publish())
    for _ in range(2):
        watcher.scan()
    assert loaded(registry) == versions
    # The third one has the place of the first; then the second, which bears a label, stays.
    versions.append(publish())
    store.set_labels("tiny-dqn", {"champion": versions[1]})
    for _ in range(2):
        watcher.scan()
    assert loaded(registry) == versions[1:]
    assert served(registry) == {"tiny-dqn": versions[2]}

    other = publish("tiny-sac")
    watcher.scan()
    assert quarantined(registry) == {other: "MEMORY_LIMIT"}
    detail = registry.snapshot.quarantined["tiny-sac", other].detail
    assert f"max_loaded_mb is {2.5 * size_mb:g}, and" in detail
    assert served(registry) == {"tiny-dqn": versions[2]}

    # Room appears: it is tried again, though its files are as they were.
    store.set_labels("tiny-dqn", {})
    for _ in range(2):
        watcher.scan()
    assert served(registry) == {"tiny-dqn": versions[2], "tiny-sac": other}
    assert quarantined(registry) == {}


def test_memory_bound_with_the_replaced_version_labelled_counts_it_still(
    make_watcher: MakeWatcher,
    registry: Registry,
    store: BundleStore,
    publish: Publish,
    first: str,
    size_mb: float,
) -> None:
    watcher = make_watcher(max_mb=1.5 * size_mb)
    store.set_labels("tiny-dqn", {"champion": first})
    watcher.scan()
    second = publish()
    watcher.scan()
    assert quarantined(registry) == {second: "MEMORY_LIMIT"}
    assert served(registry) == {"tiny-dqn": first}


def test_memory_bound_with_a_label_that_moves_takes_the_room_of_its_old_version(
    make_watcher: MakeWatcher,
    registry: Registry,
    store: BundleStore,
    publish: Publish,
    first: str,
    size_mb: float,
) -> None:
    second, third = publish(), publish()
    watcher = make_watcher(max_mb=2.5 * size_mb, tiny_dqn=VersionRule(pinned=third))
    store.set_labels("tiny-dqn", {"champion": first})
    watcher.scan()
    assert loaded(registry) == [first, third]
    store.set_labels("tiny-dqn", {"champion": second})
    watcher.scan()
    assert labels(registry) == {"champion": second}
    assert loaded(registry) == [second, third]
    assert quarantined(registry) == {}
