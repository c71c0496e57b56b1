import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tradewind.bundle import BundleDraft, BundleStore, SigningKey, TrustedKeys, read_bundle
from tradewind.errors import BundleIntegrityError, ConflictError, SettingsError

MakeDraft = Callable[..., BundleDraft]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    SigningKey.create(tmp_path / "signing.key")
    return tmp_path / "signing.key"


def public(key_file: Path) -> Path:
    return key_file.with_name(f"{key_file.name}.pub")


@pytest.fixture
def trusted(key_file: Path) -> TrustedKeys:
    return TrustedKeys.load([public(key_file)], required=True)


@pytest.fixture
def signed(tmp_path: Path, make_draft: MakeDraft, key_file: Path) -> Path:
    """A signed bundle in a store."""
    store = BundleStore(tmp_path / "store")
    return store.publish(make_draft(), signing_key=SigningKey.load(key_file)).path


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def refusal(path: Path, trusted: TrustedKeys) -> str:
    with pytest.raises(BundleIntegrityError) as refused:
        read_bundle(path, trusted=trusted)
    return refused.value.reason


def test_signed_bundle_with_a_trusted_key_is_read(signed: Path, trusted: TrustedKeys) -> None:
    assert read_bundle(signed, trusted=trusted).path == signed
    assert {file.name for file in signed.iterdir()} >= {"metadata.json", "metadata.json.sig"}


def test_signature_with_openssl_verifies(signed: Path, key_file: Path, tmp_path: Path) -> None:
    envelope = json.loads((signed / "metadata.json.sig").read_bytes())
    kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    signed_bytes = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    (tmp_path / "signed").write_bytes(signed_bytes)
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(public(key_file))]
    files = ["-in", str(tmp_path / "signed"), "-sigfile", str(tmp_path / "signature")]
    subprocess.run([*command, *files], check=True, stdout=subprocess.DEVNULL)
    (subject,) = json.loads(payload)["subject"]
    digest = hashlib.sha256((signed / "metadata.json").read_bytes()).hexdigest()
    assert subject == {"name": "metadata.json", "digest": {"sha256": digest}}


def test_signature_with_the_lines_of_the_page_verifies_this_metadata_and_no_other(
    signed: Path, key_file: Path, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[3] / "docs/reference/bundle.md").read_text()
    (lines,) = (text for text in re.findall(r"```python\n(.*?)```", page, re.S) if ".pub" in text)
    folder = shutil.copytree(signed, tmp_path / "copy")
    shutil.copy(public(key_file), folder / "signing.key.pub")
    command = [sys.executable, "-c", lines]
    subprocess.run(command, cwd=folder, check=True)
    rewrite(folder / "metadata.json", (folder / "metadata.json").read_bytes() + b" ")
    refused = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "AssertionError" in refused.stderr


def test_signature_says_who_has_signed_when_and_until_when(
    signed: Path, trusted: TrustedKeys
) -> None:
    signature = read_bundle(signed, trusted=trusted).signature
    assert signature is not None
    assert signature.signed_at is not None
    assert signature.signer == "signing"
    assert signature.expires_at == signature.signed_at + timedelta(days=365)


def test_raw_signature_of_an_older_release_is_read(
    signed: Path, key_file: Path, trusted: TrustedKeys
) -> None:
    private = load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(private, Ed25519PrivateKey)
    rewrite(signed / "metadata.json.sig", private.sign((signed / "metadata.json").read_bytes()))
    signature = read_bundle(signed, trusted=trusted).signature
    assert signature is not None
    assert (signature.signer, signature.expires_at) == ("", None)


@pytest.mark.parametrize(
    ("days_ago", "reason"), [(366, "SIGNATURE_EXPIRED"), (-1, "SIGNATURE_INVALID")]
)
def test_signature_out_of_its_time_is_refused(
    signed: Path, key_file: Path, trusted: TrustedKeys, days_ago: int, reason: str
) -> None:
    then = datetime.now(UTC) - timedelta(days=days_ago)
    key = SigningKey.load(key_file)
    rewrite(signed / "metadata.json.sig", key.sign((signed / "metadata.json").read_bytes(), then))
    assert refusal(signed, trusted) == reason


def test_signature_of_a_revoked_key_is_refused(
    signed: Path, key_file: Path, trusted: TrustedKeys
) -> None:
    revoking = trusted.revoking([SigningKey.load(key_file).key_id])
    assert refusal(signed, revoking) == "SIGNATURE_REVOKED"


@pytest.mark.parametrize(
    "change",
    [
        {"payloadType": "application/json"},
        {"payload": "bm90aGluZw=="},
        {"payload": "***"},
        {"payload": None},
        {"signatures": []},
        {"signatures": [{"sig": "AAAA"}]},
        {"signatures": 3},
        {"signatures": [None]},
    ],
)
def test_signature_whose_envelope_was_changed_is_refused(
    signed: Path, trusted: TrustedKeys, change: dict[str, object]
) -> None:
    envelope = json.loads((signed / "metadata.json.sig").read_bytes())
    rewrite(signed / "metadata.json.sig", json.dumps({**envelope, **change}).encode())
    assert refusal(signed, trusted) == "SIGNATURE_INVALID"


def test_statement_of_another_kind_is_no_signature(
    signed: Path, key_file: Path, trusted: TrustedKeys
) -> None:
    digest = hashlib.sha256((signed / "metadata.json").read_bytes()).hexdigest()
    key = SigningKey.load(key_file)
    other = key.state("urn:another:1", {"metadata.json": digest}, {}, 365)
    rewrite(signed / "metadata.json.sig", other)
    assert refusal(signed, trusted) == "SIGNATURE_INVALID"


def test_bundle_with_metadata_changed_after_signing_is_refused(
    signed: Path, trusted: TrustedKeys
) -> None:
    values = json.loads((signed / "metadata.json").read_bytes())
    rewrite(signed / "metadata.json", json.dumps({**values, "algo": "SB3-PPO"}).encode())
    assert refusal(signed, trusted) == "SIGNATURE_INVALID"


def test_bundle_with_the_network_and_its_digest_swapped_after_signing_is_refused(
    signed: Path, trusted: TrustedKeys, make_draft: MakeDraft, tmp_path: Path
) -> None:
    other = BundleStore(tmp_path / "other").publish(make_draft(policy_pt=b"another network")).path
    for name in ("policy.pt", "metadata.json"):
        rewrite(signed / name, (other / name).read_bytes())
    assert read_bundle(signed).policy_pt == b"another network"
    assert refusal(signed, trusted) == "SIGNATURE_INVALID"


@pytest.mark.parametrize("signature", [b"", b"\0" * 63, b"\0" * 64, b"[" * 8_000])
def test_bundle_with_a_signature_that_is_none_is_refused(
    signed: Path, trusted: TrustedKeys, signature: bytes
) -> None:
    rewrite(signed / "metadata.json.sig", signature)
    assert refusal(signed, trusted) == "SIGNATURE_INVALID"


def test_bundle_with_a_signature_too_long_is_refused(signed: Path, trusted: TrustedKeys) -> None:
    rewrite(signed / "metadata.json.sig", b"\0" * 8_193)
    assert refusal(signed, trusted) == "FILE_TOO_LARGE"


def test_bundle_with_the_signature_of_a_key_not_trusted_is_refused(
    signed: Path, tmp_path: Path
) -> None:
    other = SigningKey.create(tmp_path / "other.key")
    trusted = TrustedKeys.load([tmp_path / "other.key.pub"], required=False)
    with pytest.raises(BundleIntegrityError, match=f"trusted are {other.key_id}"):
        read_bundle(signed, trusted=trusted)


def test_bundle_without_signature_is_refused_only_where_one_is_required(
    tmp_path: Path, make_draft: MakeDraft, key_file: Path, trusted: TrustedKeys
) -> None:
    path = BundleStore(tmp_path / "store").publish(make_draft()).path
    assert refusal(path, trusted) == "SIGNATURE_MISSING"
    read_bundle(path, trusted=TrustedKeys.load([public(key_file)], required=False))


def test_keys_in_rotation_are_both_believed(signed: Path, key_file: Path, tmp_path: Path) -> None:
    SigningKey.create(tmp_path / "next.key")
    following = tmp_path / "next.key.pub"
    both = TrustedKeys.load([following, public(key_file)], required=True)
    assert read_bundle(signed, trusted=both).path == signed
    assert refusal(signed, TrustedKeys.load([following], required=True)).startswith("SIGNATURE_")


def test_published_bundle_that_is_signed_afterwards_is_read(
    tmp_path: Path, make_draft: MakeDraft, key_file: Path, trusted: TrustedKeys
) -> None:
    store = BundleStore(tmp_path / "store")
    published = store.publish(make_draft())
    store.sign("momentum", published.metadata.version, SigningKey.load(key_file))
    read_bundle(published.path, trusted=trusted)
    assert [entry.name for entry in published.path.parent.iterdir()] == [published.path.name]


def test_key_that_is_there_already_is_not_overwritten(key_file: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(ConflictError, match="not overwritten"):
        SigningKey.create(key_file)
    assert key_file.read_bytes() == before
    assert key_file.stat().st_mode & 0o777 == 0o600


def test_file_that_is_no_key_is_refused_without_quoting_it(tmp_path: Path, key_file: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n")
    for load in (SigningKey.load, lambda path: TrustedKeys.load([path], required=True)):
        for path in (secret, tmp_path / "missing"):
            with pytest.raises(SettingsError) as refused:
                load(path)
            assert str(path) in str(refused.value)
            assert "hunter2" not in str(refused.value)
    with pytest.raises(SettingsError, match="is not an Ed25519 private key"):
        SigningKey.load(public(key_file))


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660])
def test_key_that_others_may_read_or_write_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(SettingsError, match="open to others"):
        SigningKey.load(key_file)
    key_file.chmod(0o640)  # as a container's group gets a secret
    SigningKey.load(key_file)
