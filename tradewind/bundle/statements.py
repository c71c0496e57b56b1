"""Signed statements: an in-toto Statement v1 in a DSSE envelope, signed with Ed25519.

A statement says something (its predicate) of things that it names by their digests (its subjects).
Sigstore's and in-toto's tools read the same form.

Source: https://github.com/in-toto/attestation/tree/main/spec/v1 and
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "Statement",
    "StatementError",
    "key_id_of",
    "read_statement",
    "verifies",
    "write_statement",
]

_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_MOST_SIGNATURES: Final = 8  # each costs a check with every key


class StatementError(ValueError):
    """The bytes are no statement of this kind, or none of the keys has signed it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a key has signed.

    Attributes:
        subjects: SHA-256 in hexadecimal digits by the name of what has it.
        predicate: What is said of them.
        key_id: The key.
    """

    subjects: Mapping[str, str]
    predicate: Mapping[str, Any]
    key_id: str


def key_id_of(public: bytes) -> str:
    """Names a raw public key in logs and statements: 16 digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def verifies(public: bytes, data: bytes, signature: bytes) -> bool:
    """Whether a raw Ed25519 signature (RFC 8032) is that of a key over the data."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def write_statement(
    private: "Ed25519PrivateKey",
    predicate_type: str,
    subjects: Mapping[str, str],
    predicate: Mapping[str, Any],
) -> bytes:
    """The envelope of a statement, as the bytes of a JSON file.

    Args:
        private: Signs it.
        predicate_type: What kind of statement it is; no other kind is taken for it.
        subjects: SHA-256 in hexadecimal digits by name.
        predicate: What is said of them.
    """
    statement = {
        "_type": _STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest}}
            for name, digest in sorted(subjects.items())
        ],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    envelope = {
        "payloadType": _PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {
                "keyid": key_id_of(private.public_key().public_bytes_raw()),
                "sig": base64.b64encode(private.sign(_encoded(payload))).decode(),
            }
        ],
    }
    return (json.dumps(envelope, indent=2) + "\n").encode()


def read_statement(data: bytes, predicate_type: str, public: Iterable[bytes]) -> Statement:
    """The statement in an envelope, whose payload is read only once its signature is verified.

    Args:
        data: The envelope.
        predicate_type: The kind of statement that is expected.
        public: Raw keys that are believed; the one that the envelope names proves nothing.

    Raises:
        StatementError: It is none, or not of that kind, or none of the keys has signed it.
    """
    payload, signatures = _open_envelope(data)
    encoded = _encoded(payload)
    signer = next(
        (key for key in public if any(verifies(key, encoded, s) for s in signatures)), None
    )
    if signer is None:
        raise StatementError("none of the trusted keys has signed it")
    try:
        statement = json.loads(payload)
        if statement["_type"] != _STATEMENT_TYPE or statement["predicateType"] != predicate_type:
            raise StatementError(f"it is a statement of another kind than {predicate_type}")
        subjects = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
        predicate = statement["predicate"]
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        if isinstance(problem, StatementError):
            raise
        raise StatementError("its payload is no in-toto statement") from None
    if not isinstance(predicate, dict) or not all(
        isinstance(text, str) for pair in subjects.items() for text in pair
    ):
        raise StatementError("its payload is no in-toto statement")
    return Statement(subjects, predicate, key_id_of(signer))


def _open_envelope(data: bytes) -> tuple[bytes, list[bytes]]:
    try:
        envelope = json.loads(data)
        if envelope["payloadType"] != _PAYLOAD_TYPE:
            raise StatementError(f"its payloadType is not {_PAYLOAD_TYPE}")
        payload = base64.b64decode(envelope["payload"], validate=True)
        found = envelope["signatures"][:_MOST_SIGNATURES]
        return payload, [base64.b64decode(each["sig"], validate=True) for each in found]
    except StatementError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise StatementError("it is no DSSE envelope") from None


def _encoded(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: no byte of the type passes for one of the payload."""
    kind = _PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
