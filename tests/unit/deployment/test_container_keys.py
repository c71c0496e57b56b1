"""What the stack in containers makes at its first start, and keeps at the next ones."""

import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from cryptography import x509

from tools.certificates import Authority
from tradewind.bundle import SigningKey, TrustedKeys
from tradewind.rpc.access import AccessSettings, read_token, token_digest

ROOT = Path(__file__).parents[3]
FOLDERS = ("signing", "trusted", "tls", "access", "clients", "grafana")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    start(tmp_path)
    return tmp_path


def start(root: Path) -> None:
    """What the container does, with its volumes in a folder."""
    script = SimpleNamespace(**runpy.run_path(str(ROOT / "docker" / "keys.py")))
    names = script.make_tokens.__globals__  # those that all of its functions look up
    for name in FOLDERS:
        (root / name).mkdir(exist_ok=True)
        names[name.upper()] = root / name
    script.make_signing_key()
    script.make_certificates()
    script.make_tokens()
    script.make_grafana_password()


def contents(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*.*")}


def test_first_start_makes_what_each_service_needs_and_the_next_keeps_it(made: Path) -> None:
    SigningKey.load(made / "signing" / "signing.key")
    TrustedKeys.load([made / "trusted" / "signing.key.pub"], required=True)
    access = yaml.safe_load((made / "access" / "access.yaml").read_text())
    AccessSettings.model_validate(access)
    for name, identity in access["identities"].items():
        token = read_token(made / "clients" / f"{name}.token")
        assert identity["tokens"] == [token_digest(token)]
    assert not list(made.rglob("ca.key"))  # nobody can make more certificates
    before = contents(made)
    start(made)
    assert contents(made) == before


def test_certificate_that_ends_soon_is_made_anew_with_its_root(made: Path) -> None:
    authority = Authority("old", days=100)
    authority.issue(made / "tls", "server", "tradewind", server=True)
    start(made)
    certificate = x509.load_pem_x509_certificate((made / "tls" / "server.crt").read_bytes())
    assert certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=360)
    root = x509.load_pem_x509_certificate((made / "clients" / "ca.crt").read_bytes())
    certificate.verify_directly_issued_by(root)


def test_start_that_was_cut_off_before_the_policy_makes_new_tokens(made: Path) -> None:
    (made / "access" / "access.yaml").unlink()
    start(made)
    access = yaml.safe_load((made / "access" / "access.yaml").read_text())
    token = read_token(made / "clients" / "officer.token")
    assert access["identities"]["officer"]["tokens"] == [token_digest(token)]
