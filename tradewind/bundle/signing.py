"""Ed25519 signatures of bundles (RFC 8032), over metadata.json.

The metadata names the SHA-256 of every other file, so the signature covers them all. It is a signed
statement (`tradewind.bundle.statements`) that names its signer, its time and when it expires; the
raw 64 bytes over metadata.json that releases before 0.3 wrote are believed as well, and never
expire. Keys are PEM files: PKCS #8 for the private one, SubjectPublicKeyInfo for the public one.
"""

import hashlib
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import AwareDatetime, Field, ValidationError

from tradewind.bundle.faults import BundleFault
from tradewind.bundle.names import METADATA_FILE, SIGNATURE_FILE
from tradewind.bundle.statements import (
    Statement,
    StatementError,
    key_id_of,
    read_statement,
    verifies,
    write_statement,
)
from tradewind.errors import (
    BundleIntegrityError,
    ConflictError,
    FieldViolation,
    SettingsError,
    StorageError,
)
from tradewind.files import read_file
from tradewind.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "CLOCK_SKEW",
    "DEFAULT_SIGNATURE_DAYS",
    "MAX_SIGNATURE_BYTES",
    "BundleSignature",
    "SigningKey",
    "TrustedKeys",
]

MAX_SIGNATURE_BYTES: Final = 8 * 1024
DEFAULT_SIGNATURE_DAYS: Final = 365
CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far the clock of a signer may be ahead."""

_RAW_BYTES: Final = 64
_KIND: Final = "urn:tradewind:bundle-signature:1"


class BundleSignature(Settings):
    """Who has signed a bundle, when, and for how long."""

    key_id: str
    """The key, which alone proves anything."""

    signer: str = Field(default="", max_length=128)
    """The name that whoever holds the key has given; empty in a raw signature."""

    signed_at: AwareDatetime | None = None
    """None in a raw signature."""

    expires_at: AwareDatetime | None = None
    """From when on it is believed no more; None for never."""

    def __str__(self) -> str:
        """Who, by which key, when and until when."""
        if self.signed_at is None:
            return f"by the key {self.key_id}, without a time"
        until = "for ever" if self.expires_at is None else f"until {self.expires_at:%Y-%m-%d}"
        return f"by {self.signer or '?'} ({self.key_id}), of {self.signed_at:%Y-%m-%d}, {until}"


class _About(Settings):
    signer: str = Field(max_length=128)
    signed_at: AwareDatetime
    expires_at: AwareDatetime | None


class SigningKey:
    """What signs bundles.

    Args:
        private: The private key.
        signer: Who signs with it, for people.
        days: For how many days its signatures are believed; None for ever.

    Attributes:
        public: The raw public key.
        key_id: Names the key in logs: the first 16 digits of the public key's SHA-256.
    """

    def __init__(
        self,
        private: "Ed25519PrivateKey",
        signer: str = "",
        days: int | None = DEFAULT_SIGNATURE_DAYS,
    ) -> None:
        self._private = private
        self._signer = signer
        self._days = days
        self.public = private.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.public)

    @classmethod
    def load(
        cls, path: Path, signer: str | None = None, days: int | None = DEFAULT_SIGNATURE_DAYS
    ) -> Self:
        """Reads the private key from a PEM file.

        Args:
            path: The file.
            signer: Who signs with it, for people; by default the file's name without its ending.
            days: For how many days its signatures are believed; None for ever.

        Raises:
            SettingsError: The file cannot be read, is open to others, or is no Ed25519 private key
                without a password.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(_read(path), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None  # what the parser says could quote the key
        if not isinstance(key, Ed25519PrivateKey):
            raise _no_key(path, "an Ed25519 private key in PEM form, without a password")
        _read(path, private=True)  # only now: a public key may be read by everybody
        return cls(key, path.stem if signer is None else signer, days)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Makes a key: the private one at `path`, for its owner alone, and the public `path`.pub.

        Raises:
            ConflictError: One of the files is there already.
            StorageError: They cannot be written.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            PublicFormat,
        )

        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _write_new(path.with_name(f"{path.name}.pub"), public, 0o644)
        _write_new(path, pem, 0o600)
        return cls(private, path.stem)

    def sign(self, metadata_json: bytes, now: datetime | None = None) -> bytes:
        """The contents of metadata.json.sig.

        Args:
            metadata_json: What is signed.
            now: Time of signing; by default now.
        """
        subjects = {METADATA_FILE: hashlib.sha256(metadata_json).hexdigest()}
        return self.state(_KIND, subjects, {}, self._days, now)

    def state(
        self,
        kind: str,
        subjects: dict[str, str],
        predicate: dict[str, Any],
        days: int | None,
        now: datetime | None = None,
    ) -> bytes:
        """A statement of any kind that names its signer, its time and when it expires.

        Args:
            kind: Its predicate type.
            subjects: What it is about: SHA-256 by name.
            predicate: What it says.
            days: For how long it is believed; None for ever.
            now: Time of signing; by default now.
        """
        signed_at = (now or datetime.now(UTC)).replace(microsecond=0)
        expires_at = None if days is None else signed_at + timedelta(days=days)
        about = {
            "signer": self._signer,
            "signed_at": signed_at.isoformat(),
            "expires_at": expires_at and expires_at.isoformat(),
        }
        return write_statement(self._private, kind, subjects, {**predicate, **about})


@dataclass(frozen=True)
class TrustedKeys:
    """Whose signatures are believed. Several keys allow for a rotation.

    Attributes:
        public: Raw public keys, 32 bytes each.
        required: Whether a bundle without a signature is refused.
        revoked: Ids of keys that are believed no more, though they stand among the others.
    """

    public: tuple[bytes, ...]
    required: bool
    revoked: frozenset[str] = frozenset()

    def revoking(self, key_ids: Collection[str]) -> Self:
        """The same without these keys."""
        return replace(self, revoked=self.revoked | frozenset(key_ids))

    @property
    def believed(self) -> tuple[bytes, ...]:
        """The keys that are not revoked."""
        return tuple(key for key in self.public if key_id_of(key) not in self.revoked)

    @classmethod
    def load(cls, paths: Iterable[Path], *, required: bool) -> Self:
        """Reads public keys from PEM files.

        Raises:
            SettingsError: A file cannot be read, or is no Ed25519 public key.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        found = []
        for path in paths:
            try:
                key = load_pem_public_key(_read(path))
            except (ValueError, UnsupportedAlgorithm):
                key = None
            if not isinstance(key, Ed25519PublicKey):
                raise _no_key(path, "an Ed25519 public key in PEM form")
            found.append(key.public_bytes_raw())
        return cls(tuple(found), required)

    def check(
        self, metadata_json: bytes, signature: bytes | None, now: datetime | None = None
    ) -> BundleSignature | None:
        """Checks the signature of a bundle.

        Args:
            metadata_json: What was signed.
            signature: The contents of metadata.json.sig; None when there is none.
            now: The time; by default now.

        Returns:
            Who has signed it; None when nobody has, and nobody need have.

        Raises:
            BundleIntegrityError: The signature is missing though required, is none of the trusted
                keys', is one of a revoked key's, or has expired.
        """
        if signature is None:
            if self.required:
                raise BundleIntegrityError(
                    f"{SIGNATURE_FILE} is missing, and a signature is required",
                    reason=BundleFault.SIGNATURE_MISSING,
                )
            return None
        found = self._verify(metadata_json, signature)
        if found.key_id in self.revoked:
            raise BundleIntegrityError(
                f"{SIGNATURE_FILE} is by the key {found.key_id}, which is revoked: sign the bundle "
                "with another one",
                reason=BundleFault.SIGNATURE_REVOKED,
            )
        _check_times(found, now or datetime.now(UTC))
        return found

    def _verify(self, metadata_json: bytes, signature: bytes) -> BundleSignature:
        if len(signature) == _RAW_BYTES:
            for key in self.public:
                if verifies(key, metadata_json, signature):
                    return BundleSignature(key_id=key_id_of(key))
            raise self._foreign("none of the trusted keys has made it")
        try:
            statement = read_statement(signature, _KIND, self.public)
        except StatementError as problem:
            raise self._foreign(str(problem)) from None
        if list(statement.subjects.values()) != [hashlib.sha256(metadata_json).hexdigest()]:
            raise self._foreign("it is that of another bundle")
        try:
            return signature_in(statement)
        except ValidationError:
            raise self._foreign("what it says of its signer and its times is malformed") from None

    def _foreign(self, why: str) -> BundleIntegrityError:
        trusted = ", ".join(map(key_id_of, self.public)) or "none"
        return BundleIntegrityError(
            f"{SIGNATURE_FILE} is not the signature of a trusted key over this metadata: {why}; "
            f"trusted are {trusted}",
            reason=BundleFault.SIGNATURE_INVALID,
        )


def signature_in(statement: Statement) -> BundleSignature:
    """Signer and times of a statement that `SigningKey.state` has made.

    Raises:
        ValidationError: They are missing or malformed.
    """
    about = _About.model_validate(
        {name: statement.predicate.get(name) for name in _About.model_fields}
    )
    return BundleSignature(key_id=statement.key_id, **about.model_dump())


def _check_times(found: BundleSignature, now: datetime) -> None:
    if found.expires_at is not None and found.expires_at <= now:
        raise BundleIntegrityError(
            f"{SIGNATURE_FILE} expired on {found.expires_at:%Y-%m-%d %H:%M} UTC: sign it anew",
            reason=BundleFault.SIGNATURE_EXPIRED,
        )
    if found.signed_at is not None and found.signed_at > now + CLOCK_SKEW:
        raise BundleIntegrityError(
            f"{SIGNATURE_FILE} was made on {found.signed_at:%Y-%m-%d %H:%M} UTC, which is yet to "
            "come: one of the clocks is wrong",
            reason=BundleFault.SIGNATURE_INVALID,
        )


def _read(path: Path, *, private: bool = False) -> bytes:
    try:
        return read_file(path, private=private)
    except OSError as problem:
        violation = FieldViolation(str(path), f"cannot be read: {problem.strerror}")
        raise SettingsError("key is refused", [violation]) from None


def _no_key(path: Path, wanted: str) -> SettingsError:
    return SettingsError("key is refused", [FieldViolation(str(path), f"is not {wanted}")])


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError:
        raise ConflictError(f"{path} is there already; it is not overwritten") from None
    except OSError as problem:
        raise StorageError(f"cannot write {path}: {problem}") from problem
    with os.fdopen(handle, "wb") as file:
        file.write(data)
