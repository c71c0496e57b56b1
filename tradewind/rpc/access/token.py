"""Bearer tokens: made here, known to servers by their SHA-256 only."""

import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import Final

from tradewind.errors import ConflictError, FieldViolation, SettingsError, StorageError
from tradewind.files import read_file

__all__ = ["bearer_metadata", "check_token", "make_token", "read_token", "token_digest"]

_TOKEN_BYTES: Final = 32
# RFC 6750's alphabet. What is shorter than 128 random bits could be guessed from its digest.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{22,8192}=*")


def make_token(path: Path) -> str:
    """Writes a new token of 256 random bits to a file that only its owner may read.

    Returns:
        Its digest, which is what the access policy takes.

    Raises:
        ConflictError: The file is there already.
        StorageError: It cannot be written.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise ConflictError(f"{path} is there already; it is not overwritten") from None
    except OSError as problem:
        raise StorageError(f"cannot write {path}: {problem}") from problem
    with os.fdopen(handle, "w") as file:
        file.write(token + "\n")
    return token_digest(token)


def read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        SettingsError: The file cannot be read, is open to others, or holds no token; the message
            does not show what it holds.
    """
    try:
        data = read_file(path, private=True)
    except OSError as problem:
        raise SettingsError(f"cannot read the token: {path}: {problem.strerror}") from None
    return check_token(data.decode(errors="replace").strip(), f"token in {path}")


def check_token(token: str, named: str = "token") -> str:
    """Gives the token back if it can be one.

    Raises:
        SettingsError: It cannot; the message does not show it.
    """
    if _TOKEN.fullmatch(token) is None:
        allowed = "22 to 8192 of the characters A-Z a-z 0-9 . _ ~ + / -"
        raise SettingsError(f"the {named} is refused", [FieldViolation("token", allowed)])
    return token


def token_digest(token: str) -> str:
    """How the access policy writes a token: `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def bearer_metadata(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call that shows a token."""
    return (("authorization", f"Bearer {token}"),)
