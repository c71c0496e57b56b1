"""freshness.json in a store: what is current there and what is believed no more, signed.

A signature says who has published a bundle, not that it is the latest. Whoever may write to a
store, without a key, can remove its newest version, so that an older one serves; and bundles of a
key that was stolen verify as before. This statement, in the manner of The Update Framework's
timestamp role, names the newest version of each policy, versions and keys that are no longer
believed, and a number that grows with each, so that an older statement cannot take the place of a
newer one.

Source: https://theupdateframework.github.io/specification/latest/ (5.4 and 5.5)
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import Field, PositiveInt, ValidationError

from tradewind.bundle.faults import BundleFault
from tradewind.bundle.names import METADATA_FILE, BundleVersion, check_policy_name
from tradewind.bundle.signing import CLOCK_SKEW, BundleSignature, SigningKey, signature_in
from tradewind.bundle.statements import StatementError, read_statement
from tradewind.bundle.store import BundleStore
from tradewind.errors import BundleIntegrityError, InvalidInputError, StorageError
from tradewind.files import read_file
from tradewind.process.durable import replace_file
from tradewind.settings import Settings

__all__ = ["FRESHNESS_FILE", "Freshness", "note_published", "read_freshness", "write_freshness"]

FRESHNESS_FILE: Final = "freshness.json"
_KIND: Final = "urn:tradewind:store-freshness:1"
_MOST_BYTES: Final = 8 * 1024 * 1024  # 10,000 policies take about 3 MiB
_DEFAULT_DAYS: Final = 30
_LOCK: Final = ".freshness.lock"


class _Said(Settings):
    """The predicate of a statement, but for signer and times."""

    serial: PositiveInt
    oldest: dict[str, str] = Field(default_factory=dict)
    withdrawn: tuple[str, ...] = ()
    revoked_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Freshness:
    """What a store's statement says.

    Attributes:
        serial: Grows with each statement.
        signature: Who has made it, when, and until when it is current.
        subjects: SHA-256 of the metadata.json of `policy/version`, of each policy's newest version.
        oldest: By policy, the version below which none is loaded for anything.
        withdrawn: `policy/version` of those that are not loaded for anything.
        revoked_keys: Ids of keys that are believed no more.
    """

    serial: int
    signature: BundleSignature
    subjects: Mapping[str, str] = field(default_factory=dict)
    oldest: Mapping[str, str] = field(default_factory=dict)
    withdrawn: frozenset[str] = frozenset()
    revoked_keys: frozenset[str] = frozenset()

    def is_current(self, now: datetime) -> bool:
        """Whether it has not expired."""
        expires_at = self.signature.expires_at
        return expires_at is None or now < expires_at

    @property
    def newest(self) -> dict[str, str]:
        """The newest version by policy."""
        return dict(name.split("/") for name in self.subjects)

    def check(self, policy: str, version: str, metadata_json: bytes | None = None) -> None:
        """Refuses a version that is not to be loaded for anything.

        Args:
            policy: Name.
            version: Version.
            metadata_json: Its metadata, once it is read.

        Raises:
            BundleIntegrityError: It is withdrawn, older than the oldest allowed, or another one
                than the statement names.
        """
        name = f"{policy}/{version}"
        if name in self.withdrawn:
            raise BundleIntegrityError(
                f"{name} is withdrawn by {FRESHNESS_FILE}", reason=BundleFault.WITHDRAWN
            )
        oldest = self.oldest.get(policy)
        if oldest is not None and BundleVersion.parse(version) < BundleVersion.parse(oldest):
            raise BundleIntegrityError(
                f"{name} is older than {oldest}, the oldest that {FRESHNESS_FILE} allows",
                reason=BundleFault.ROLLED_BACK,
            )
        named = self.subjects.get(name)
        if metadata_json is not None and named not in (None, _digest(metadata_json)):
            raise BundleIntegrityError(
                f"{name} is another bundle than the one that {FRESHNESS_FILE} names",
                reason=BundleFault.DIGEST_MISMATCH,
            )

    def missing_newest(self, policy: str, published: Iterable[str]) -> str:
        """The newest version of a policy, where neither it nor a later one is there; else empty."""
        newest = self.newest.get(policy, "")
        if not newest:
            return ""
        named = BundleVersion.parse(newest)
        return "" if any(BundleVersion.parse(each) >= named for each in published) else newest


def read_freshness(
    root: Path, public: Iterable[bytes], after: Freshness | None = None, now: datetime | None = None
) -> Freshness | None:
    """The statement in a store, once its signature is verified.

    Args:
        root: Folder of the store.
        public: Raw keys that are believed.
        after: The statement that was seen last; one with a lower number is refused, and so is one
            by a key that it revokes.
        now: The time; by default now.

    Returns:
        None when there is none and none was seen before.

    Raises:
        BundleIntegrityError: It is gone, forged, malformed, or older than what was seen.
        StorageError: It cannot be read now.
    """
    try:
        data = read_file(root / FRESHNESS_FILE, _MOST_BYTES, within=root)
    except FileNotFoundError:
        if after is None:
            return None
        raise _unproved(f"it is gone; number {after.serial} was there") from None
    except OSError as problem:
        raise StorageError(f"cannot read {root / FRESHNESS_FILE}: {problem.strerror}") from problem
    found = _read(data, public)
    if after is not None and found.serial < after.serial:
        raise _unproved(f"it is number {found.serial}; number {after.serial} was seen before it")
    if after is not None and not _follows(found, after):
        raise _unproved(
            f"it lets in what number {after.serial} refused, or is another of that number: it is "
            "not the next one of this store"
        )
    if after is not None and found.signature.key_id in after.revoked_keys:
        raise _unproved(f"it is signed by the key {found.signature.key_id}, which is revoked")
    signed_at = found.signature.signed_at
    if signed_at is not None and signed_at > (now or datetime.now(UTC)) + CLOCK_SKEW:
        raise _unproved(f"it was made on {signed_at:%Y-%m-%d %H:%M} UTC, which is yet to come")
    return found


def write_freshness(
    root: Path,
    key: SigningKey,
    *,
    public: Iterable[bytes] = (),
    oldest: Iterable[str] = (),
    withdrawn: Iterable[str] = (),
    revoked_keys: Iterable[str] = (),
    days: int | None = None,
    now: datetime | None = None,
) -> Freshness:
    """Makes the next statement of a store: what is newest now, and what was refused, and more.

    Nothing that an earlier statement has refused is let in again.

    Args:
        root: Folder of the store.
        key: Signs it.
        public: Raw keys besides that one whose statement may be followed by this.
        oldest: `policy/version` of the oldest of a policy that may be loaded from now on.
        withdrawn: `policy/version` of those that may not be loaded any more.
        revoked_keys: Ids of keys that are believed no more.
        days: For how many days it is current; by default as many as the one before, else 30.
        now: Time of the statement; by default now.

    Raises:
        BundleIntegrityError: The statement there is by a key that is not believed.
        InvalidInputError: A policy, version or key is not of the form that they have, or the key
            would revoke itself.
        StorageError: The store cannot be read or written.
    """
    with _locked(root):
        before = read_freshness(root, [key.public, *public], now=now)
        old = before or Freshness(0, BundleSignature(key_id=key.key_id))
        said = _Said(
            serial=old.serial + 1,
            oldest=_later(old.oldest, oldest),
            withdrawn=tuple(sorted({*old.withdrawn, *map(_checked_name, withdrawn)})),
            revoked_keys=tuple(sorted({*old.revoked_keys, *map(_checked_key, revoked_keys)})),
        )
        if key.key_id in said.revoked_keys:
            raise InvalidInputError(
                f"the key {key.key_id} is revoked, or would revoke itself: sign with another one"
            )
        subjects = _subjects(BundleStore(root), old, frozenset(said.withdrawn))
        data = key.state(_KIND, subjects, said.model_dump(mode="json"), days or _days(old), now)
        try:
            replace_file(root / FRESHNESS_FILE, data)
        except OSError as problem:
            raise StorageError(f"cannot write {root / FRESHNESS_FILE}: {problem}") from problem
    return _read(data, [key.public])


def note_published(root: Path, key: SigningKey) -> Freshness | None:
    """Names what has been published in the statement of a store that has one.

    Raises:
        BundleIntegrityError: The statement there is by another key, or revokes this one.
        StorageError: The store cannot be read or written.
    """
    if not (root / FRESHNESS_FILE).exists():
        return None
    return write_freshness(root, key)


def _read(data: bytes, public: Iterable[bytes]) -> Freshness:
    try:
        statement = read_statement(data, _KIND, public)
        about = BundleSignature.model_fields
        said = _Said.model_validate(
            {name: value for name, value in statement.predicate.items() if name not in about}
        )
        for name in (*statement.subjects, *said.withdrawn):
            _checked_name(name)
        for policy, version in said.oldest.items():
            _checked_name(f"{policy}/{version}")
        signature = signature_in(statement)
    except StatementError as problem:
        raise _unproved(str(problem)) from None
    except (ValidationError, InvalidInputError):
        raise _unproved("what it says is malformed") from None
    return Freshness(
        said.serial,
        signature,
        statement.subjects,
        said.oldest,
        frozenset(said.withdrawn),
        frozenset(said.revoked_keys),
    )


def _follows(found: Freshness, after: Freshness) -> bool:
    """Whether a statement can be the same or the next: nothing that was refused is let in again."""
    if found.serial == after.serial:
        return found == after
    floors = all(
        policy in found.oldest
        and not _is_later(f"{policy}/{oldest}", f"{policy}/{found.oldest[policy]}")
        for policy, oldest in after.oldest.items()
    )
    refused = after.withdrawn <= found.withdrawn and after.revoked_keys <= found.revoked_keys
    return floors and refused


def _days(old: Freshness) -> int:
    made, expires = old.signature.signed_at, old.signature.expires_at
    return _DEFAULT_DAYS if made is None or expires is None else max(1, (expires - made).days)


def _subjects(store: BundleStore, old: Freshness, withdrawn: frozenset[str]) -> dict[str, str]:
    """The newest version of each policy; one that the store has lost stays named."""
    found = {name: digest for name, digest in old.subjects.items() if name not in withdrawn}
    named = {name.split("/")[0]: name for name in found}
    for policy in store.policies():
        left = [v for v in store.versions(policy) if f"{policy}/{v}" not in withdrawn]
        before = named.get(policy)
        if left and (before is None or _is_later(f"{policy}/{left[-1]}", before)):
            if before is not None:
                del found[before]
            found[f"{policy}/{left[-1]}"] = _digest(_metadata_of(store.path(policy, left[-1])))
    return found


def _metadata_of(folder: Path) -> bytes:
    try:
        return read_file(folder / METADATA_FILE, within=folder)
    except OSError as problem:
        raise StorageError(f"cannot read {folder / METADATA_FILE}: {problem.strerror}") from problem


def _is_later(name: str, other: str) -> bool:
    return BundleVersion.parse(name.split("/")[1]) > BundleVersion.parse(other.split("/")[1])


def _later(old: Mapping[str, str], new: Iterable[str]) -> dict[str, str]:
    """The later of two versions for each policy: what was once refused stays so."""
    found = dict(old)
    for name in map(_checked_name, new):
        policy, version = name.split("/")
        if policy not in found or _is_later(name, f"{policy}/{found[policy]}"):
            found[policy] = version
    return found


def _checked_name(name: str) -> str:
    policy, _, version = name.partition("/")
    try:
        return f"{check_policy_name(policy)}/{BundleVersion.parse(version)}"
    except InvalidInputError:
        raise InvalidInputError(
            f"{name!r} is not POLICY/VERSION such as btc-ppo/2026-11-22.1"
        ) from None


def _checked_key(key_id: str) -> str:
    if len(key_id) != 16 or not set(key_id) <= set("0123456789abcdef"):
        raise InvalidInputError(
            f"{key_id!r} is no id of a key, which is 16 digits such as those that keygen prints"
        )
    return key_id


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _unproved(why: str) -> BundleIntegrityError:
    return BundleIntegrityError(
        f"{FRESHNESS_FILE} proves nothing: {why}", reason=BundleFault.FRESHNESS_UNPROVED
    )


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Keeps writers from each other; no reader waits for it."""
    try:
        handle = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as problem:
        raise StorageError(f"cannot write to {root}: {problem.strerror}") from problem
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
