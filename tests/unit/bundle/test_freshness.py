import base64
import json
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tradewind.bundle import (
    FRESHNESS_FILE,
    BundleDraft,
    BundleStore,
    SigningKey,
    publish_bundle,
    read_freshness,
    write_freshness,
)
from tradewind.errors import BundleIntegrityError, InvalidInputError, StorageError

MakeDraft = Callable[..., BundleDraft]


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.create(tmp_path / "officer.key")


@pytest.fixture
def store(tmp_path: Path, make_draft: MakeDraft) -> BundleStore:
    store = BundleStore(tmp_path / "store")
    for name in ("momentum", "momentum", "carry"):
        store.publish(make_draft(name=name))
    return store


def refusal(check: Callable[[], object]) -> str:
    with pytest.raises(BundleIntegrityError) as refused:
        check()
    return str(refused.value.reason)


def test_statement_names_the_newest_version_of_each_policy(
    store: BundleStore, key: SigningKey
) -> None:
    written = write_freshness(store.root, key)
    read = read_freshness(store.root, [key.public])
    assert read == written
    assert read.newest == {name: store.versions(name)[-1] for name in ("carry", "momentum")}
    assert (read.serial, read.signature.signer) == (1, "officer")
    assert not read.is_current(datetime.now(UTC) + timedelta(days=31))
    assert read_freshness(store.root.parent, [key.public]) is None


def test_statement_after_a_publishing_names_what_was_published(
    store: BundleStore, key: SigningKey, make_draft: MakeDraft
) -> None:
    write_freshness(store.root, key, days=3)
    version = publish_bundle(store.root, make_draft(), key).metadata.version
    read = read_freshness(store.root, [key.public])
    assert read is not None
    assert read.newest["momentum"] == version
    assert read.serial == 2
    made, expires = read.signature.signed_at, read.signature.expires_at
    assert made is not None
    assert expires == made + timedelta(days=3)


def test_publishing_beside_a_statement_of_another_key_publishes_and_says_so(
    store: BundleStore,
    key: SigningKey,
    tmp_path: Path,
    make_draft: MakeDraft,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_freshness(store.root, key)
    trainer = SigningKey.create(tmp_path / "trainer.key")
    version = publish_bundle(store.root, make_draft(), trainer).metadata.version
    assert version in store.versions("momentum")
    assert "not named as the newest" in caplog.text
    read = read_freshness(store.root, [key.public])
    assert read is not None
    assert read.serial == 1


def test_newest_version_that_the_store_has_lost_stays_named(
    store: BundleStore, key: SigningKey
) -> None:
    lost = store.versions("momentum")[-1]
    write_freshness(store.root, key)
    shutil.rmtree(store.path("momentum", lost))
    found = write_freshness(store.root, key)
    assert found.missing_newest("momentum", store.versions("momentum")) == lost
    assert found.missing_newest("carry", store.versions("carry")) == ""
    # To go back behind it on purpose, it is withdrawn.
    found = write_freshness(store.root, key, withdrawn=[f"momentum/{lost}"])
    assert found.missing_newest("momentum", store.versions("momentum")) == ""


def test_what_was_refused_once_stays_refused(store: BundleStore, key: SigningKey) -> None:
    old, new = store.versions("momentum")
    stolen = "0123456789abcdef"
    write_freshness(
        store.root,
        key,
        oldest=[f"momentum/{new}"],
        withdrawn=[f"carry/{store.versions('carry')[0]}"],
        revoked_keys=[stolen],
    )
    found = write_freshness(store.root, key, oldest=[f"momentum/{old}"])
    assert found.revoked_keys == {stolen}
    found.check("momentum", new)
    assert refusal(lambda: found.check("momentum", old)) == "ROLLED_BACK"
    assert refusal(lambda: found.check("carry", store.versions("carry")[0])) == "WITHDRAWN"
    assert refusal(lambda: found.check("momentum", new, b"another")) == "DIGEST_MISMATCH"


@pytest.mark.parametrize("after", ["older", "gone", "forged", "cut", "revoked", "future"])
def test_statement_that_takes_the_place_of_a_newer_one_is_refused(
    store: BundleStore, key: SigningKey, tmp_path: Path, after: str
) -> None:
    other = SigningKey.create(tmp_path / "other.key")
    file = store.root / FRESHNESS_FILE
    write_freshness(store.root, other)
    first = file.read_bytes()
    seen = write_freshness(store.root, key, public=[other.public], revoked_keys=[other.key_id])
    trusted = [key.public, other.public]
    if after == "older":
        file.write_bytes(first)
    elif after == "gone":
        file.unlink()
    elif after == "forged":
        stranger = SigningKey.create(tmp_path / "stranger.key")
        file.unlink()
        write_freshness(store.root, stranger)
    elif after == "cut":
        file.write_bytes(file.read_bytes()[:-40])
    elif after == "revoked":
        write_freshness(store.root, key)
        file.unlink()
        for _ in range(5):
            write_freshness(store.root, other)
    else:
        write_freshness(store.root, key, now=datetime.now(UTC) + timedelta(hours=1))
    assert refusal(lambda: read_freshness(store.root, trusted, seen)) == "FRESHNESS_UNPROVED"


def test_statement_with_words_that_are_none_is_refused(
    store: BundleStore, key: SigningKey, tmp_path: Path
) -> None:
    for bad in ("momentum", "../x/2026-01-01.1", "momentum/yesterday"):
        with pytest.raises(InvalidInputError):
            write_freshness(store.root, key, withdrawn=[bad])
        with pytest.raises(InvalidInputError):
            write_freshness(store.root, key, oldest=[bad])
    with pytest.raises(InvalidInputError, match="no id of a key"):
        write_freshness(store.root, key, revoked_keys=["Alice"])
    with pytest.raises(InvalidInputError, match="revoke itself"):
        write_freshness(store.root, key, revoked_keys=[key.key_id])
    with pytest.raises(StorageError, match="cannot write"):
        write_freshness(tmp_path / "nowhere", key)
    assert not (store.root / FRESHNESS_FILE).exists()


def test_statement_that_is_a_link_out_of_the_store_is_not_read(
    store: BundleStore, key: SigningKey, tmp_path: Path
) -> None:
    write_freshness(store.root, key)
    (store.root / FRESHNESS_FILE).rename(tmp_path / "elsewhere")
    (store.root / FRESHNESS_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="leads out"):
        read_freshness(store.root, [key.public])


def test_writers_that_race_make_one_statement_after_another(
    store: BundleStore, key: SigningKey
) -> None:
    threads = [
        threading.Thread(
            target=write_freshness,
            args=(store.root, key),
            kwargs={"withdrawn": [f"carry/2026-01-01.{number}"]},
        )
        for number in range(1, 9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_freshness(store.root, [key.public])
    assert found is not None
    assert found.serial == 8
    assert found.withdrawn == {f"carry/2026-01-01.{number}" for number in range(1, 9)}


def test_statement_is_an_in_toto_statement(store: BundleStore, key: SigningKey) -> None:
    write_freshness(store.root, key)
    envelope = json.loads((store.root / FRESHNESS_FILE).read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:tradewind:store-freshness:1"


def test_statement_that_lets_in_what_was_refused_is_not_the_next_of_this_store(
    store: BundleStore, key: SigningKey, tmp_path: Path, make_draft: MakeDraft
) -> None:
    old, new = store.versions("momentum")
    seen = write_freshness(store.root, key, withdrawn=[f"momentum/{new}"], revoked_keys=["0" * 16])
    other = BundleStore(tmp_path / "staging")
    other.publish(make_draft())
    for _ in range(3):  # by the same key, with a higher number
        write_freshness(other.root, key)
    shutil.copy(other.root / FRESHNESS_FILE, store.root / FRESHNESS_FILE)
    assert refusal(lambda: read_freshness(store.root, [key.public], seen)) == "FRESHNESS_UNPROVED"
    # Another one of the same number is no news of this store, either.
    (store.root / FRESHNESS_FILE).unlink()
    write_freshness(store.root, key, oldest=[f"momentum/{old}"])
    assert refusal(lambda: read_freshness(store.root, [key.public], seen)) == "FRESHNESS_UNPROVED"
