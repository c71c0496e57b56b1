import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from inference_service.registry import LoadedVersion, Registry
from inference_service.watching.version_rule import VersionRule
from inference_service.watching.watcher import StoreWatcher
from tradewind.bundle import BundleDraft, BundleStore, GoldenSet
from tradewind.errors import StorageError

Load = Callable[[Path], LoadedVersion]
Publish = Callable[..., str]
MakeWatcher = Callable[..., StoreWatcher]


def served(registry: Registry) -> dict[str, str]:
    return {name: version.version for name, version in registry.snapshot.served.items()}


def quarantined(registry: Registry) -> dict[str, str]:
    return {key[1]: entry.reason for key, entry in registry.snapshot.quarantined.items()}


def test_scan_with_new_versions_serves_the_latest_of_each_policy(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish
) -> None:
    told: list[dict[str, str]] = []
    watcher = make_watcher(
        on_serving=lambda policy: told.append({policy: registry.snapshot.served[policy].version})
    )
    watcher.scan()
    assert told == []
    publish()
    latest, other = publish(), publish("tiny-sac")
    watcher.scan()
    watcher.scan()
    assert served(registry) == {"tiny-dqn": latest, "tiny-sac": other}
    assert told == [{"tiny-dqn": latest}, {"tiny-sac": other}]


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
    assert caplog.text.count("cannot list") == 1

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
    watcher = make_watcher(tiny_dqn=VersionRule(pinned=first))
    watcher.scan()
    publish()
    watcher.scan()
    assert served(registry) == {"tiny-dqn": first}


def test_policy_pinned_to_what_is_not_there_says_so_and_serves_nothing_else(
    make_watcher: MakeWatcher,
    registry: Registry,
    publish: Publish,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish()
    watcher = make_watcher(tiny_dqn=VersionRule(pinned="2099-01-01.1"))
    for _ in range(2):
        watcher.scan()
    assert served(registry) == {}
    assert caplog.text.count("2099-01-01.1, to which policy 'tiny-dqn' is pinned, is not in") == 1


def test_follow_scans_until_it_is_told_to_stop(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish
) -> None:
    serving, stopping = threading.Event(), threading.Event()
    watcher = make_watcher(on_serving=lambda policy: serving.set())
    thread = threading.Thread(target=watcher.follow, args=(0.01, stopping))
    thread.start()
    version = publish()
    assert serving.wait(20)
    stopping.set()
    thread.join(20)
    assert not thread.is_alive()
    assert served(registry) == {"tiny-dqn": version}


def loaded(registry: Registry, policy: str = "tiny-dqn") -> list[str]:
    return list(registry.snapshot.loaded[policy])


def labels(registry: Registry) -> dict[str, str]:
    labelled = registry.snapshot.labelled.get("tiny-dqn", {})
    return {label: version.version for label, version in labelled.items()}


def test_latest_versions_are_loaded_after_the_one_that_serves(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish
) -> None:
    first = publish()
    bad = publish(policy_pt=b"junk")
    versions = [first, publish(), publish()]
    watcher = make_watcher(tiny_dqn=VersionRule(kept_versions=3))
    watcher.scan_served()
    assert loaded(registry) == versions[2:]
    watcher.scan()
    assert loaded(registry) == versions[1:]  # the bad one is found out here
    assert quarantined(registry) == {bad: "MODEL_UNLOADABLE"}
    watcher.scan()
    assert loaded(registry) == versions
    versions.append(publish())
    watcher.scan()
    assert loaded(registry) == versions[1:]


def test_all_versions_stay_loaded_where_the_rule_says_so(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish
) -> None:
    versions = [publish() for _ in range(4)]
    watcher = make_watcher(tiny_dqn=VersionRule(keep_all=True, pinned=versions[1]))
    watcher.scan()
    assert loaded(registry) == versions
    assert served(registry) == {"tiny-dqn": versions[1]}


def test_pinned_policy_keeps_labelled_versions_alone(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish
) -> None:
    versions = [publish() for _ in range(4)]
    rule = VersionRule(pinned=versions[2], labels={"challenger": versions[3]})
    make_watcher(tiny_dqn=rule).scan()
    assert loaded(registry) == versions[2:]
    assert served(registry) == {"tiny-dqn": versions[2]}
    assert labels(registry) == {"challenger": versions[3]}


def test_labels_of_the_store_are_followed_and_those_of_the_settings_win(
    make_watcher: MakeWatcher, registry: Registry, store: BundleStore, publish: Publish
) -> None:
    versions = [publish() for _ in range(5)]
    watcher = make_watcher(tiny_dqn=VersionRule(labels={"champion": versions[0]}))
    store.set_labels("tiny-dqn", {"champion": versions[3], "challenger": versions[1]})
    watcher.scan()
    assert labels(registry) == {"champion": versions[0], "challenger": versions[1]}
    store.set_labels("tiny-dqn", {"challenger": versions[2]})
    watcher.scan()
    assert labels(registry) == {"champion": versions[0], "challenger": versions[2]}
    assert loaded(registry) == [versions[0], *versions[2:]]
    store.set_labels("tiny-dqn", {})
    watcher.scan()
    assert labels(registry) == {"champion": versions[0]}


@pytest.mark.parametrize("target", ["2099-01-01.1", "bad"])
def test_label_whose_version_does_not_load_stays_where_it_is_and_says_so(
    make_watcher: MakeWatcher,
    registry: Registry,
    store: BundleStore,
    publish: Publish,
    caplog: pytest.LogCaptureFixture,
    target: str,
) -> None:
    good = publish()
    watcher = make_watcher()
    store.set_labels("tiny-dqn", {"champion": good})
    watcher.scan()
    target = publish(policy_pt=b"junk") if target == "bad" else target
    publish()
    moved = json.dumps({"champion": target, "new": target})
    (store.root / "tiny-dqn" / "labels.json").write_text(moved)
    for _ in range(2):
        watcher.scan()
    assert labels(registry) == {"champion": good}
    assert caplog.text.count(f"label 'champion' of tiny-dqn stays at {good}") == 1
    assert caplog.text.count("label 'new' of tiny-dqn is not given") == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"champion": 1}', '{"served": "2026-11-22.1"}'])
def test_labels_file_that_is_no_such_thing_changes_nothing(
    make_watcher: MakeWatcher,
    registry: Registry,
    store: BundleStore,
    publish: Publish,
    caplog: pytest.LogCaptureFixture,
    content: str,
) -> None:
    good = publish()
    watcher = make_watcher()
    store.set_labels("tiny-dqn", {"champion": good})
    watcher.scan()
    (store.root / "tiny-dqn" / "labels.json").write_text(content)
    newer = publish()
    watcher.scan()
    assert labels(registry) == {"champion": good}
    assert served(registry) == {"tiny-dqn": newer}
    assert "labels.json is refused" in caplog.text
