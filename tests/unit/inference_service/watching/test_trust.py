"""What a store's statement of freshness does to what is loaded from it and serves."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from inference_service.registry import LoadedVersion, Registry
from inference_service.watching.trust import StoreTrust
from inference_service.watching.watcher import StoreWatcher
from tradewind.bundle import (
    FRESHNESS_FILE,
    BundleDraft,
    BundleStore,
    Freshness,
    SigningKey,
    TrustedKeys,
    read_bundle,
    read_freshness,
    write_freshness,
)
from tradewind.policy import TorchScriptPolicy

Publish = Callable[..., str]
MakeWatcher = Callable[..., StoreWatcher]


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.create(tmp_path / "officer.key")


@pytest.fixture
def trainer(tmp_path: Path) -> SigningKey:
    return SigningKey.create(tmp_path / "trainer.key")


@pytest.fixture
def trusted(key: SigningKey, trainer: SigningKey) -> TrustedKeys:
    return TrustedKeys((key.public, trainer.public), required=True)


@pytest.fixture
def publish(
    store: BundleStore, trainer: SigningKey, released_draft: Callable[..., BundleDraft]
) -> Publish:
    def publish(signing_key: SigningKey = trainer, **changes: object) -> str:
        draft = released_draft("tiny-dqn", **changes)
        return store.publish(draft, signing_key=signing_key).metadata.version

    return publish


@pytest.fixture
def load(trusted: TrustedKeys, store: BundleStore) -> Callable[[Path], LoadedVersion]:
    """As the service does: with the keys that are believed at that moment."""
    trust = StoreTrust(store.root, trusted)

    def load(folder: Path) -> LoadedVersion:
        trust.scan()
        policy = TorchScriptPolicy.load_bundle(folder)
        policy.signature = read_bundle(folder, trusted=trust.keys()).signature
        return LoadedVersion(policy, 100_000, 1.0)

    return load


def served(registry: Registry) -> list[str]:
    return [version.version for version in registry.snapshot.served.values()]


def reasons(registry: Registry) -> dict[str, str]:
    return {key[1]: str(entry.reason) for key, entry in registry.snapshot.quarantined.items()}


def test_older_version_does_not_begin_to_serve_where_the_newest_was_removed(
    make_watcher: MakeWatcher,
    registry: Registry,
    publish: Publish,
    store: BundleStore,
    key: SigningKey,
    trusted: TrustedKeys,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old, newest = publish(), publish()
    write_freshness(store.root, key)
    shutil.rmtree(store.path("tiny-dqn", newest))
    watcher = make_watcher(trusted=trusted)
    watcher.scan()
    assert served(registry) == []
    assert f"names {newest} as its newest" in caplog.text
    write_freshness(store.root, key, withdrawn=[f"tiny-dqn/{newest}"])
    watcher.scan()
    assert served(registry) == [old]


def test_older_version_does_not_begin_to_serve_where_the_newest_was_damaged(
    make_watcher: MakeWatcher,
    registry: Registry,
    publish: Publish,
    store: BundleStore,
    key: SigningKey,
    trusted: TrustedKeys,
) -> None:
    _, newest = publish(), publish()
    write_freshness(store.root, key)
    damaged = store.path("tiny-dqn", newest) / "policy.pt"
    damaged.chmod(0o644)
    damaged.write_bytes(b"junk")
    make_watcher(trusted=trusted).scan()
    assert served(registry) == []
    assert reasons(registry) == {newest: "DIGEST_MISMATCH"}


@pytest.mark.parametrize("trick", ["withdrawn", "unreadable"])
def test_version_that_proves_nothing_does_not_stand_for_the_newest(
    make_watcher: MakeWatcher,
    registry: Registry,
    publish: Publish,
    store: BundleStore,
    key: SigningKey,
    trusted: TrustedKeys,
    trick: str,
) -> None:
    _, newest, later = publish(), publish(), publish()
    write_freshness(store.root, key, withdrawn=[f"tiny-dqn/{later}"])
    if trick == "unreadable":
        shutil.rmtree(store.path("tiny-dqn", later))
        (store.path("tiny-dqn", later) / "metadata.json").mkdir(parents=True)
    shutil.rmtree(store.path("tiny-dqn", newest))
    make_watcher(trusted=trusted).scan()
    assert served(registry) == []


def test_older_version_serves_where_the_newest_is_a_bad_policy(
    make_watcher: MakeWatcher,
    registry: Registry,
    publish: Publish,
    store: BundleStore,
    key: SigningKey,
    trusted: TrustedKeys,
) -> None:
    old, _ = publish(), publish(policy_pt=b"junk")
    write_freshness(store.root, key)
    make_watcher(trusted=trusted).scan()
    assert served(registry) == [old]


def test_version_that_is_withdrawn_while_it_serves_gives_way_or_answers_no_more(
    make_watcher: MakeWatcher,
    registry: Registry,
    publish: Publish,
    store: BundleStore,
    key: SigningKey,
    trusted: TrustedKeys,
) -> None:
    old, newest = publish(), publish()
    told: list[str] = []
    watcher = make_watcher(trusted=trusted, on_serving=told.append)
    watcher.scan()
    assert served(registry) == [newest]
    write_freshness(store.root, key, withdrawn=[f"tiny-dqn/{newest}"])
    watcher.scan()
    assert served(registry) == [old]
    assert newest not in registry.snapshot.loaded["tiny-dqn"]
    write_freshness(store.root, key, withdrawn=[f"tiny-dqn/{old}"])
    watcher.scan()
    assert served(registry) == []
    assert reasons(registry) == {old: "WITHDRAWN", newest: "WITHDRAWN"}
    assert told[-1] == "tiny-dqn"


def test_policy_of_a_revoked_key_answers_no_more_until_another_has_signed_it(
    make_watcher: MakeWatcher,
    registry: Registry,
    publish: Publish,
    store: BundleStore,
    key: SigningKey,
    trainer: SigningKey,
    trusted: TrustedKeys,
) -> None:
    version = publish()
    watcher = make_watcher(trusted=trusted)
    watcher.scan()
    write_freshness(store.root, key, revoked_keys=[trainer.key_id])
    watcher.scan()
    assert served(registry) == []
    assert reasons(registry) == {version: "SIGNATURE_REVOKED"}
    store.sign("tiny-dqn", version, key)
    watcher.scan()
    assert served(registry) == [version]


def test_statement_that_vanishes_is_held_to(
    make_watcher: MakeWatcher,
    registry: Registry,
    publish: Publish,
    store: BundleStore,
    key: SigningKey,
    trusted: TrustedKeys,
    caplog: pytest.LogCaptureFixture,
) -> None:
    withdrawn = publish()
    write_freshness(store.root, key, withdrawn=[f"tiny-dqn/{withdrawn}"])
    watcher = make_watcher(trusted=trusted)
    watcher.scan()
    (store.root / FRESHNESS_FILE).unlink()
    for _ in range(3):
        watcher.scan()
    assert served(registry) == []
    assert caplog.text.count("it is gone") == 1


@pytest.mark.parametrize("trouble", ["missing", "expired"])
def test_nothing_new_is_loaded_where_a_current_statement_is_required(
    make_watcher: MakeWatcher,
    registry: Registry,
    publish: Publish,
    store: BundleStore,
    key: SigningKey,
    trusted: TrustedKeys,
    trouble: str,
) -> None:
    version = publish()
    if trouble == "expired":
        write_freshness(store.root, key, days=1, now=datetime.now(UTC) - timedelta(days=2))
    watcher = make_watcher(trusted=trusted, require_freshness=True)
    watcher.scan()
    assert reasons(registry) == {version: "FRESHNESS_UNPROVED"}
    write_freshness(store.root, key)
    watcher.scan()
    assert served(registry) == [version]


def test_statement_that_stays_as_it_is_is_read_and_verified_once(
    store: BundleStore, key: SigningKey, trusted: TrustedKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []

    def read(root: Path, *arguments: Any) -> Freshness | None:
        reads.append(root)
        return read_freshness(root, *arguments)

    monkeypatch.setattr("inference_service.watching.trust.read_freshness", read)
    store.root.mkdir()
    write_freshness(store.root, key)
    trust = StoreTrust(store.root, trusted)
    assert [trust.scan() for _ in range(3)] == [True, False, False]
    assert len(reads) == 1
    write_freshness(store.root, key, withdrawn=["tiny-dqn/2026-01-01.1"])
    assert trust.scan()
    assert len(reads) == 2


def test_version_that_is_another_bundle_than_the_statement_names_never_serves(
    make_watcher: MakeWatcher,
    registry: Registry,
    publish: Publish,
    store: BundleStore,
    key: SigningKey,
    trusted: TrustedKeys,
) -> None:
    version = publish()
    write_freshness(store.root, key)
    shutil.rmtree(store.path("tiny-dqn", version))
    assert publish(algo="SB3-QRDQN") == version  # signed by the same key
    told: list[str] = []
    watcher = make_watcher(trusted=trusted, on_serving=told.append)
    watcher.scan_served()
    watcher.scan()
    assert told == []
    assert reasons(registry) == {version: "DIGEST_MISMATCH"}
