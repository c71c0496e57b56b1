import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from inference_service.registry import LoadedVersion, Registry
from inference_service.telemetry import Telemetry
from inference_service.watcher import StoreWatcher
from tradewind.bundle import BundleDraft, BundleStore, GoldenSet
from tradewind.errors import StorageError

Load = Callable[[Path], LoadedVersion]
Publish = Callable[..., str]
MakeWatcher = Callable[..., StoreWatcher]


@pytest.fixture
def make_watcher(
    store: BundleStore, registry: Registry, load: Load, telemetry: Telemetry
) -> MakeWatcher:
    def make(
        load: Load = load, pinned: dict[str, str] | None = None, on_serving: object = None
    ) -> StoreWatcher:
        told = on_serving if callable(on_serving) else lambda: None
        return StoreWatcher(store, registry, load, pinned or {}, telemetry, told)

    return make


def served(registry: Registry) -> dict[str, str]:
    return {name: version.version for name, version in registry.snapshot.served.items()}


def quarantined(registry: Registry) -> dict[str, str]:
    return {key[1]: entry.reason for key, entry in registry.snapshot.quarantined.items()}


def test_scan_with_new_versions_serves_the_latest_of_each_policy(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish
) -> None:
    told: list[dict[str, str]] = []
    watcher = make_watcher(on_serving=lambda: told.append(served(registry)))
    watcher.scan()
    assert told == []
    publish()
    latest, other = publish(), publish("tiny-sac")
    watcher.scan()
    watcher.scan()
    assert served(registry) == {"tiny-dqn": latest, "tiny-sac": other}
    assert told == [{"tiny-dqn": latest}, {"tiny-dqn": latest, "tiny-sac": other}]


def test_scan_with_bad_latest_version_serves_the_one_before(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish
) -> None:
    good = publish()
    bad = publish(policy_pt=b"junk")
    make_watcher().scan()
    assert served(registry) == {"tiny-dqn": good}
    assert quarantined(registry) == {bad: "MODEL_UNLOADABLE"}


def test_scan_with_wrong_golden_answers_quarantines_the_version(
    make_watcher: MakeWatcher,
    registry: Registry,
    publish: Publish,
    released_draft: Callable[..., BundleDraft],
) -> None:
    golden = released_draft().golden
    wrong = GoldenSet(golden.observations, (golden.actions + 1) % 3, golden.distribution)
    bad = publish(golden=wrong)
    make_watcher().scan()
    assert served(registry) == {}
    assert quarantined(registry) == {bad: "GOLDEN_MISMATCH"}
    assert "golden observation 0" in registry.snapshot.quarantined["tiny-dqn", bad].detail


def test_quarantined_version_is_tried_again_only_when_its_files_change(
    make_watcher: MakeWatcher,
    registry: Registry,
    store: BundleStore,
    publish: Publish,
    load: Load,
) -> None:
    tried: list[Path] = []

    def counting_load(folder: Path) -> LoadedVersion:
        tried.append(folder)
        return load(folder)

    version = publish()
    network = store.path("tiny-dqn", version) / "policy.pt"
    good = network.read_bytes()
    network.chmod(0o644)
    network.write_bytes(good[:-1])  # a copy that has not ended yet
    watcher = make_watcher(load=counting_load)
    for _ in range(3):
        watcher.scan()
    assert len(tried) == 1
    assert quarantined(registry) == {version: "DIGEST_MISMATCH"}

    network.write_bytes(good)
    watcher.scan()
    assert len(tried) == 2
    assert served(registry) == {"tiny-dqn": version}
    assert quarantined(registry) == {}


def test_quarantined_version_that_is_removed_is_forgotten(
    make_watcher: MakeWatcher, registry: Registry, store: BundleStore, publish: Publish
) -> None:
    version = publish(policy_pt=b"junk")
    watcher = make_watcher()
    watcher.scan()
    shutil.rmtree(store.path("tiny-dqn", version))
    watcher.scan()
    assert quarantined(registry) == {}


def test_store_that_vanishes_and_comes_back_is_followed_again(
    make_watcher: MakeWatcher,
    registry: Registry,
    store: BundleStore,
    publish: Publish,
    metrics: CollectorRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    watcher = make_watcher()
    first = publish()
    watcher.scan()
    away = store.root.with_name("away")
    store.root.rename(away)
    for _ in range(3):
        watcher.scan()
    assert served(registry) == {"tiny-dqn": first}
    assert metrics.get_sample_value("tradewind_inference_store_failures_total") == 3.0
    assert caplog.text.count("store not readable") == 1

    away.rename(store.root)
    second = publish()
    watcher.scan()
    assert served(registry) == {"tiny-dqn": second}


def test_version_removed_from_the_store_goes_on_serving(
    make_watcher: MakeWatcher, registry: Registry, store: BundleStore, publish: Publish
) -> None:
    version = publish()
    watcher = make_watcher()
    watcher.scan()
    shutil.rmtree(store.root / "tiny-dqn")
    watcher.scan()
    assert served(registry) == {"tiny-dqn": version}


def test_failure_of_the_file_system_is_tried_again_and_is_no_quarantine(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish, load: Load
) -> None:
    failures = [StorageError("input/output error"), StorageError("input/output error")]

    def failing_load(folder: Path) -> LoadedVersion:
        if failures:
            raise failures.pop()
        return load(folder)

    version = publish()
    watcher = make_watcher(load=failing_load)
    for _ in range(2):
        watcher.scan()
        assert served(registry) == quarantined(registry) == {}
    watcher.scan()
    assert served(registry) == {"tiny-dqn": version}


def test_latest_version_that_cannot_be_read_yet_leaves_the_one_before_serving(
    make_watcher: MakeWatcher, registry: Registry, store: BundleStore, publish: Publish, load: Load
) -> None:
    good, unreadable = publish(), publish()
    failing = {store.path("tiny-dqn", unreadable)}

    def failing_load(folder: Path) -> LoadedVersion:
        if folder in failing:
            raise StorageError("permission denied")
        return load(folder)

    watcher = make_watcher(load=failing_load)
    watcher.scan()
    assert served(registry) == {"tiny-dqn": good}
    assert quarantined(registry) == {}
    failing.clear()
    watcher.scan()
    assert served(registry) == {"tiny-dqn": unreadable}


def test_defect_while_loading_one_policy_stops_no_other(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish, load: Load
) -> None:
    def defective_load(folder: Path) -> LoadedVersion:
        if folder.parent.name == "tiny-dqn":
            raise ZeroDivisionError("inside")
        return load(folder)

    bad, good = publish("tiny-dqn"), publish("tiny-sac")
    make_watcher(load=defective_load).scan()
    assert served(registry) == {"tiny-sac": good}
    assert quarantined(registry) == {bad: "LOAD_FAILED"}


def test_pinned_policy_serves_that_version_and_no_later_one(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish
) -> None:
    first = publish()
    publish()
    watcher = make_watcher(pinned={"tiny-dqn": first})
    watcher.scan()
    publish()
    watcher.scan()
    assert served(registry) == {"tiny-dqn": first}


def test_follow_scans_until_it_is_told_to_stop(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish
) -> None:
    serving, stopping = threading.Event(), threading.Event()
    watcher = make_watcher(on_serving=serving.set)
    thread = threading.Thread(target=watcher.follow, args=(0.01, stopping))
    thread.start()
    version = publish()
    assert serving.wait(20)
    stopping.set()
    thread.join(20)
    assert not thread.is_alive()
    assert served(registry) == {"tiny-dqn": version}
