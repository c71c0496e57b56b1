"""TLS and mutual TLS, with certificates that are replaced while a server runs."""

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import grpc

from tradewind.errors import SettingsError
from tradewind.files import FileStamp, file_stamp, read_file
from tradewind.settings import Settings

__all__ = ["ClientTls", "ServerTls", "client_credentials", "server_credentials"]

_LOG: Final = logging.getLogger(__name__)
_Stamp = tuple[FileStamp | None, ...]


class ServerTls(Settings):
    """What a server proves itself by, and whom it believes; PEM files."""

    certificate: Path
    """The server's certificate, and those between it and a root."""

    key: Path
    """Its private key; refused when others than its owner and its group may read it."""

    client_ca: Path | None = None
    """Roots that clients' certificates must come from; a client without one is then refused.
    Without it, any client may connect."""


class ClientTls(Settings):
    """Whom a client believes, and what it proves itself by; PEM files."""

    ca: Path | None = None
    """Roots that the server's certificate must come from; those of the system without."""

    certificate: Path | None = None
    """The client's certificate, for servers that want one."""

    key: Path | None = None
    """Its private key."""


def client_credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    """Credentials for the clients of `tradewind.rpc.clients`.

    Raises:
        SettingsError: A file cannot be read, or of certificate and key one is missing.
    """
    if (tls.certificate is None) != (tls.key is None):
        raise SettingsError("tls needs both certificate and key, or neither")
    return grpc.ssl_channel_credentials(
        root_certificates=None if tls.ca is None else _read(tls.ca),
        private_key=None if tls.key is None else _read(tls.key, private=True),
        certificate_chain=None if tls.certificate is None else _read(tls.certificate),
    )


def server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """Credentials that follow their files: each handshake takes those that lie there.

    Files that cannot be used are refused and logged, and the last good ones stay: replace the key
    and the certificate in any order. Connections that are open stay open.

    Raises:
        SettingsError: The files cannot be used now.
    """
    certificates = _Certificates(tls)
    return grpc.dynamic_ssl_server_credentials(
        certificates.first,
        # None means no change, which the stubs do not know.
        cast("Callable[[], grpc.ServerCertificateConfiguration]", certificates.changed),
        require_client_authentication=tls.client_ca is not None,
    )


class _Certificates:
    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._seen: _Stamp = self._stamp()
        self.first = self._load()

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The new certificates, None while the old ones go on. Called at each handshake."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return None
            self._seen = stamp
            loaded = self._load()
        except SettingsError as problem:
            _LOG.warning("the certificates in use stay: %s", problem)
            return None
        _LOG.info("took over the certificates of %s", self._tls.certificate)
        return loaded

    def _files(self) -> list[Path]:
        tls = self._tls
        return [tls.certificate, tls.key, *([] if tls.client_ca is None else [tls.client_ca])]

    def _stamp(self) -> _Stamp:
        return tuple(map(file_stamp, self._files()))

    def _load(self) -> grpc.ServerCertificateConfiguration:
        tls = self._tls
        certificate, key = _read(tls.certificate), _read(tls.key, private=True)
        client_ca = None if tls.client_ca is None else _read(tls.client_ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # gRPC would take a key of another certificate, and every handshake would fail.
            context.load_cert_chain(tls.certificate, tls.key)
            if client_ca is not None:
                context.load_verify_locations(cadata=client_ca.decode("ascii", "replace"))
        except (OSError, ssl.SSLError) as problem:
            named = ", ".join(map(str, self._files()))
            raise SettingsError(f"cannot use the certificates {named}: {problem}") from None
        return grpc.ssl_server_certificate_configuration(
            [(key, certificate)],
            root_certificates=client_ca,
        )


def _read(path: Path, *, private: bool = False) -> bytes:
    try:
        return read_file(path, private=private)
    except OSError as problem:
        raise SettingsError(f"cannot read the certificates: {path}: {problem.strerror}") from None
