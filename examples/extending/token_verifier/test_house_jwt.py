"""The verifier by itself, and in the settings of a service."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from house_jwt import HouseJwt, HouseJwtOptions
from prometheus_client import CollectorRegistry

from tradewind.errors import SettingsError, UnauthenticatedError
from tradewind.rpc import ServerSettings
from tradewind.rpc.access import TokenVerifierSettings, VerifiedToken
from tradewind.rpc.access.verifier import TokenChecks
from tradewind.settings import parse_settings

KEY = b"0123456789abcdef0123456789abcdef"
CLAIMS: dict[str, Any] = {"iss": "https://login.house", "aud": "tradewind", "sub": "carol"}


def encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def make_token(key: bytes = KEY, alg: str = "HS256", **claims: Any) -> str:
    said = {**CLAIMS, "exp": time.time() + 300.0, **claims}
    body = ".".join(encode(json.dumps(it).encode()) for it in ({"alg": alg}, said))
    return f"{body}.{encode(hmac.new(key, body.encode(), hashlib.sha256).digest())}"


@pytest.fixture
def options(tmp_path: Path) -> HouseJwtOptions:
    path = tmp_path / "house.key"
    path.write_bytes(KEY)
    path.chmod(0o600)
    return HouseJwtOptions(key_file=path, issuer="https://login.house")


def test_token_of_the_house_proves_its_subject(options: HouseJwtOptions) -> None:
    verifier = HouseJwt(options)
    assert verifier.verify(make_token(exp=2e9)) == VerifiedToken("carol", 2e9)
    assert verifier.verify(make_token(aud=["other", "tradewind"], exp=2e9)) is not None


@pytest.mark.parametrize(
    "token",
    [
        make_token(key=b"another key of thirty-two bytes!"),
        make_token(alg="none"),
        make_token(iss="https://login.elsewhere"),
        make_token(aud="other"),
        make_token(aud=None),
    ],
)
def test_token_of_another_key_issuer_or_audience_is_nobodys(
    options: HouseJwtOptions, token: str
) -> None:
    assert HouseJwt(options).verify(token) is None


def test_service_takes_it_by_its_entry_point_and_refuses_what_is_expired(
    options: HouseJwtOptions,
) -> None:
    chosen = {"kind": "house-jwt", "options": options.model_dump(mode="json")}
    settings = {"listen": "127.0.0.1:0", "access": "access.yaml", "token_verifier": chosen}
    server = parse_settings(settings, ServerSettings)
    assert isinstance(server.token_verifier, TokenVerifierSettings)
    checks = TokenChecks(server.token_verifier, CollectorRegistry())
    good, old, torn = make_token(), make_token(exp=time.time() - 1.0), "no.token"
    for token in (good, old, torn):
        checks.wait(token)
    assert checks.subject(good) == "carol"
    for token in (old, torn):
        with pytest.raises(UnauthenticatedError):
            checks.subject(token)
    with pytest.raises(SettingsError, match=r"token_verifier\.options\.issuer: Field required"):
        parse_settings(
            {**settings, "token_verifier": {"kind": "house-jwt", "options": {"key_file": "k"}}},
            ServerSettings,
        )
