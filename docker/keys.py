"""What the stack in containers proves itself by and lets callers in with, made at its first start.

    python docker/keys.py          in the container `keys`, each time the stack comes up

What is there stays as it is, but certificates of which a third or less of their time is left are
made anew. Each folder is a volume that only those services see which need it.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from tools.certificates import Authority, write
from tradewind.bundle import SigningKey
from tradewind.rpc.access import make_token

SIGNING, TRUSTED = Path("/signing"), Path("/trusted")  # of bundles
TLS, ACCESS = Path("/tls"), Path("/access")  # of servers
CLIENTS, GRAFANA = Path("/clients"), Path("/grafana")  # of who calls, and of who looks

VALID_DAYS = 365
IDENTITIES = {
    "orchestrator": "roles: [predict, calculate, evaluate]",
    "operator": "roles: [train, predict, calculate, admin]",
    "officer": "roles: [resume, admin]\n    resumes_as: risk_officer",
}


def make_signing_key() -> None:
    """The key that signs bundles, and its public part for those who trust it."""
    key = SIGNING / "signing.key"
    if not key.exists():
        key.with_name(f"{key.name}.pub").unlink(missing_ok=True)
        SigningKey.create(key)
    public = key.with_name(f"{key.name}.pub").read_bytes()
    (TRUSTED / "signing.key.pub").write_bytes(public)


def make_certificates() -> None:
    """A root and a certificate of the servers by it; the root's key is not kept."""
    certificate = TLS / "server.crt"
    if certificate.exists():
        until = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
        if until - datetime.now(UTC) > timedelta(days=VALID_DAYS / 3):
            return
    authority = Authority("Tradewind in containers", VALID_DAYS)
    authority.issue(TLS, "server", "tradewind", server=True)
    for folder in (TLS, CLIENTS):
        write(folder / "ca.crt", authority.public_pem())


def make_tokens() -> None:
    """A token for each identity, of which the servers are told the digests alone."""
    policy = ACCESS / "access.yaml"
    if policy.exists():
        return
    lines = ["identities:"]
    for name, said in IDENTITIES.items():
        token = CLIENTS / f"{name}.token"
        token.unlink(missing_ok=True)  # of a start that was cut off
        lines += [f"  {name}:", f'    tokens: ["{make_token(token)}"]', f"    {said}"]
    write(policy, "\n".join([*lines, ""]).encode())


def make_grafana_password() -> None:
    """A password for Grafana's administrator, which runs as another user."""
    password = GRAFANA / "password"
    if not password.exists():
        make_token(password)
        password.chmod(0o444)


if __name__ == "__main__":
    make_signing_key()
    make_certificates()
    make_tokens()
    make_grafana_password()
