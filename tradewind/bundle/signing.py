"""Ed25519 signatures of bundles (RFC 8032), over the bytes of metadata.json.

The metadata names the SHA-256 of every other file, so the signature covers them all. It is the raw
64 bytes, which any Ed25519 implementation verifies, OpenSSL's command among them. Keys are PEM
files: PKCS #8 for the private one, SubjectPublicKeyInfo for the public one.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tradewind.bundle.faults import BundleFault
from tradewind.bundle.names import SIGNATURE_FILE
from tradewind.errors import (
    BundleIntegrityError,
    ConflictError,
    FieldViolation,
    SettingsError,
    StorageError,
)
from tradewind.files import read_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["SIGNATURE_BYTES", "SigningKey", "TrustedKeys"]

SIGNATURE_BYTES = 64


class SigningKey:
    """What signs bundles.

    Args:
        private: The private key.

    Attributes:
        key_id: Names the key in logs: the first 16 digits of the public key's SHA-256.
    """

    def __init__(self, private: "Ed25519PrivateKey") -> None:
        self._private = private
        self.key_id = _key_id(private.public_key().public_bytes_raw())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads the private key from a PEM file.

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
        return cls(key)

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
        return cls(private)

    def sign(self, metadata_json: bytes) -> bytes:
        """The signature, SIGNATURE_BYTES long."""
        return self._private.sign(metadata_json)


@dataclass(frozen=True)
class TrustedKeys:
    """Whose signatures are believed. Several keys allow for a rotation.

    Attributes:
        public: Raw public keys, 32 bytes each.
        required: Whether a bundle without a signature is refused.
    """

    public: tuple[bytes, ...]
    required: bool

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

    def check(self, metadata_json: bytes, signature: bytes | None) -> None:
        """Checks the signature of a bundle.

        Args:
            metadata_json: What was signed.
            signature: The contents of metadata.json.sig; None when there is none.

        Raises:
            BundleIntegrityError: The signature is missing though required, or it is none of the
                trusted keys'.
        """
        if signature is None:
            if self.required:
                raise BundleIntegrityError(
                    f"{SIGNATURE_FILE} is missing, and a signature is required",
                    reason=BundleFault.SIGNATURE_MISSING,
                )
            return
        if not any(_verifies(key, metadata_json, signature) for key in self.public):
            trusted = ", ".join(map(_key_id, self.public)) or "none"
            raise BundleIntegrityError(
                f"{SIGNATURE_FILE} is not the signature of a trusted key over this metadata; "
                f"trusted are {trusted}",
                reason=BundleFault.SIGNATURE_INVALID,
            )


def _verifies(public: bytes, data: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _key_id(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()[:16]


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
