"""A token verifier of one's own: JSON Web Tokens (RFC 7519) of an issuer that shares a key."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from tradewind.files import read_file
from tradewind.rpc.access import TokenVerifier, VerifiedToken
from tradewind.settings import Settings


class HouseJwtOptions(Settings):
    """What stands under `token_verifier.options`."""

    key_file: Path
    """The key that the issuer signs with; only its owner may read it."""

    issuer: str
    """Who has to have issued a token (`iss`)."""

    audience: str = "tradewind"
    """Whom a token has to be for (`aud`)."""


class HouseJwt(TokenVerifier):
    """Believes a token whose seal, issuer and audience are right; it has to expire."""

    Options = HouseJwtOptions

    def __init__(self, options: HouseJwtOptions) -> None:
        super().__init__(options)
        self._issuer, self._audience = options.issuer, options.audience
        self._key = read_file(options.key_file, private=True).strip()
        if len(self._key) < hashlib.sha256().digest_size:
            raise ValueError("the key is shorter than 32 bytes")

    def verify(self, token: str) -> VerifiedToken | None:
        """Whose it is; what is no token of the house raises, and is nobody's."""
        header, claims, seal = token.split(".")
        expected = hmac.new(self._key, f"{header}.{claims}".encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(expected, _decode(seal)):
            return None
        if json.loads(_decode(header)).get("alg") != "HS256":
            return None
        said: dict[str, Any] = json.loads(_decode(claims))
        audiences = said.get("aud")
        if isinstance(audiences, str):
            audiences = [audiences]
        if said.get("iss") != self._issuer or self._audience not in (audiences or []):
            return None
        return VerifiedToken(str(said["sub"]), expires_s=float(said["exp"]))


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
