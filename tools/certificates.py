"""Makes certificates for development: a root, a server's and a client's.

    python tools/certificates.py certs

They are valid for 30 days. Whoever holds ca.key can make more: not for production.
"""

import argparse
import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "make_certificates"]

SERVER_NAMES = ("localhost", "trainer", "inference", "risk")
VALID_DAYS = 30


class Authority:
    """A root that signs certificates.

    Args:
        name: Its common name.
        days: For how long it and what it signs are valid.
    """

    def __init__(self, name: str = "Tradewind development", days: int = VALID_DAYS) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._days = days
        self.certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, folder: Path, file: str, name: str, *, server: bool) -> None:
        """Writes `<file>.crt` and `<file>.key` of a server on this machine, or of a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(_name(name), key.public_key()).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        if server:
            names: list[x509.GeneralName] = [x509.DNSName(each) for each in SERVER_NAMES]
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        write(folder / f"{file}.key", _pem(key))
        write(folder / f"{file}.crt", certificate.public_bytes(serialization.Encoding.PEM))

    def save(self, folder: Path) -> None:
        """Writes `ca.crt` and `ca.key`."""
        write(folder / "ca.key", _pem(self._key))
        write(folder / "ca.crt", self.public_pem())

    def public_pem(self) -> bytes:
        """What clients believe."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=self._days))
        )


def make_certificates(folder: Path) -> Authority:
    """Writes ca, server and client, each as .crt and .key; the keys are for the owner only."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority()
    authority.save(folder)
    authority.issue(folder, "server", "tradewind", server=True)
    authority.issue(folder, "client", "orchestrator", server=False)
    return authority


def write(path: Path, content: bytes) -> None:
    """Replaces a file in one step; nobody else may read it."""
    temporary = path.with_name(f".{path.name}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    temporary.replace(path)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def main() -> None:
    """Makes what is missing; certificates that are there are replaced."""
    parser = argparse.ArgumentParser(description="Makes certificates for development.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    make_certificates(folder)
    print(f"{folder}: ca, server and client, valid for {VALID_DAYS} days")


if __name__ == "__main__":
    main()
