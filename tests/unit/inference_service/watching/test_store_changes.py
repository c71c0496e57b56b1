"""A store that does not change costs one look; whatever changes is seen all the same."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from inference_service.registry import LoadedVersion, Registry
from inference_service.watching.store_changes import StoreChanges
from inference_service.watching.watcher import StoreWatcher
from tradewind.bundle import BundleStore

Publish = Callable[..., str]
MakeWatcher = Callable[..., StoreWatcher]
POLICIES = ("tiny-dqn", "tiny-sac", "tiny-td3")


@pytest.fixture
def listed(store: BundleStore, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the versions of each policy were listed."""
    counts: Counter[str] = Counter()
    versions = BundleStore.versions

    def counting(self: BundleStore, policy: str) -> tuple[str, ...]:
        counts[policy] += 1
        return versions(self, policy)

    monkeypatch.setattr(BundleStore, "versions", counting)
    return counts


def settled(watcher: StoreWatcher, listed: Counter[str]) -> None:
    """Scans until what was loaded has been looked at."""
    for _ in range(10):
        if not watcher.scan():
            listed.clear()
            return
    pytest.fail("the store does not settle")


def served(registry: Registry) -> dict[str, str]:
    return {name: version.version for name, version in registry.snapshot.served.items()}


def test_scan_of_a_store_that_does_not_change_looks_into_no_policy(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish, listed: Counter[str]
) -> None:
    latest = {policy: publish(policy) for policy in POLICIES}
    watcher = make_watcher()
    settled(watcher, listed)
    for _ in range(3):
        assert not watcher.scan()
    assert listed == {}
    assert served(registry) == latest


def test_scan_with_one_new_version_serves_it_and_settles_again(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish, listed: Counter[str]
) -> None:
    for policy in POLICIES:
        publish(policy)
    watcher = make_watcher()
    settled(watcher, listed)
    newer = publish("tiny-sac")
    assert watcher.scan()
    assert listed.keys() == {"tiny-sac"}
    assert served(registry)["tiny-sac"] == newer
    settled(watcher, listed)


def test_version_copied_in_file_by_file_serves_once_its_metadata_is_there(
    make_watcher: MakeWatcher,
    registry: Registry,
    store: BundleStore,
    publish: Publish,
    listed: Counter[str],
    tmp_path: Path,
) -> None:
    first, second = publish(), publish()
    whole = tmp_path / "copy"
    shutil.move(store.path("tiny-dqn", second), whole)
    watcher = make_watcher()
    settled(watcher, listed)
    folder = store.path("tiny-dqn", second)
    folder.mkdir()
    for file in whole.iterdir():
        if file.name != "metadata.json":
            shutil.copy(file, folder)
    for _ in range(3):
        watcher.scan()
    assert served(registry) == {"tiny-dqn": first}
    # Shows in the version's folder alone, long after the policy's has been looked at.
    shutil.copy(whole / "metadata.json", folder)
    watcher.scan()
    assert served(registry) == {"tiny-dqn": second}
    settled(watcher, listed)


def test_labels_written_in_place_are_followed(
    make_watcher: MakeWatcher,
    registry: Registry,
    store: BundleStore,
    publish: Publish,
    listed: Counter[str],
) -> None:
    old, new = publish(), publish()
    store.set_labels("tiny-dqn", {"champion": old})
    watcher = make_watcher()
    settled(watcher, listed)
    labels = store.root / "tiny-dqn" / "labels.json"
    labels.write_text(labels.read_text().replace(old, new))
    watcher.scan()
    assert registry.snapshot.labelled["tiny-dqn"]["champion"].version == new


def test_routing_that_names_another_version_has_it_loaded(
    make_watcher: MakeWatcher, registry: Registry, publish: Publish, listed: Counter[str]
) -> None:
    versions = [publish() for _ in range(4)]
    named: dict[str, frozenset[str]] = {}
    watcher = make_watcher(routed=lambda policy: named.get(policy, frozenset()))
    settled(watcher, listed)
    assert versions[0] not in registry.snapshot.loaded["tiny-dqn"]
    named["tiny-dqn"] = frozenset({versions[0]})
    watcher.scan()
    assert versions[0] in registry.snapshot.loaded["tiny-dqn"]


def test_version_without_room_is_loaded_once_another_policy_leaves_some(
    make_watcher: MakeWatcher,
    registry: Registry,
    store: BundleStore,
    publish: Publish,
    load: Callable[[Path], LoadedVersion],
    listed: Counter[str],
) -> None:
    older, latest = publish(), publish()
    other = [publish("tiny-td3") for _ in range(2)]
    sizes = {
        policy: load(store.path(policy, version)).memory_bytes
        for policy, version in (("tiny-dqn", older), ("tiny-td3", other[0]))
    }
    # Room for what serves, and for what of tiny-td3 bears a label, but for nothing beside.
    store.set_labels("tiny-td3", {"champion": other[0]})
    room = sizes["tiny-dqn"] + 2 * sizes["tiny-td3"] + min(sizes.values()) / 2
    watcher = make_watcher(max_mb=room / 2**20)
    settled(watcher, listed)
    assert list(registry.snapshot.loaded["tiny-dqn"]) == [latest]
    store.set_labels("tiny-td3", {"champion": other[1]})
    settled(watcher, listed)
    loaded = sum(len(each) for each in registry.snapshot.loaded.values())
    assert loaded == 3  # the label freed the room of one, which another one takes


def test_folder_is_looked_at_again_until_its_time_can_tell_changes_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("inference_service.watching.store_changes.time.monotonic", lambda: now)
    changes = StoreChanges(settle_s=2.0)
    assert changes.due({"a": 1, "b": 1}) == ["a", "b"]
    now = 101.9  # within the same step of a clock that counts in two seconds
    assert changes.due({"a": 1, "b": 1}) == ["a", "b"]
    now = 102.1
    assert changes.due({"a": 1, "b": 2}) == ["b"]
    now = 110.0
    assert changes.due({"a": 1, "b": 2}) == []
    changes.look_again(["a"])
    assert changes.due({"a": 1, "b": 2}) == ["a"]
    changes.look_again([])
    assert changes.due({"b": 2}) == []
    assert changes.due({"a": 1, "b": 2}) == ["a"]  # gone, and back


def test_links_and_names_that_are_none_are_said_once(
    make_watcher: MakeWatcher,
    registry: Registry,
    store: BundleStore,
    publish: Publish,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    version = publish()
    (store.root / "linked").symlink_to(store.root / "tiny-dqn")
    (store.root / "tiny-dqn" / "2099-01-01.1").symlink_to(store.path("tiny-dqn", version))
    shutil.copytree(store.root / "tiny-dqn", store.root / "BTC", symlinks=True)
    (store.root / "lost+found").mkdir()
    (store.root / "..data").symlink_to(tmp_path)
    watcher = make_watcher()
    for _ in range(3):
        watcher.scan()
    assert served(registry) == {"tiny-dqn": version}
    said = [record.getMessage() for record in caplog.records if "is not served" in record.message]
    assert sorted(said) == [
        f"{store.root}/BTC is not served: it is no name for a policy, which is "
        "[a-z0-9][a-z0-9_-]{0,62}",
        f"{store.root}/linked is not served: it is a symbolic link, not a policy's own folder",
        f"{store.root}/tiny-dqn/2099-01-01.1 is not served: it is a symbolic link, not a version's "
        "own folder",
    ]
