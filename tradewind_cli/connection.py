"""How commands that call a service connect to it: the options that stand before every command."""

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from tradewind.errors import FieldViolation, SettingsError
from tradewind.rpc.access.token import read_token
from tradewind.rpc.clients.client import Client
from tradewind.rpc.tls import ClientTls, client_credentials

__all__ = ["connect", "connection_options"]

ClientT = TypeVar("ClientT", bound=Client)


def _file(name: str, described: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        f"--{name}",
        envvar=f"TRADEWIND_{name.replace('-', '_').upper()}",
        help=described,
        metavar="FILE",
    )
    return option


class _Connection:
    """What the options say; read when a command connects, so that others need no file."""

    def __init__(
        self, ca: Path | None, cert: Path | None, key: Path | None, token_file: Path | None
    ) -> None:
        self._tls = ClientTls(ca=ca, certificate=cert, key=key)
        self._token_file = token_file

    def open(self, kind: type[ClientT], address: str) -> ClientT:
        """A client of the kind."""
        encrypted = self._tls != ClientTls()
        return kind(
            address,
            credentials=client_credentials(self._tls) if encrypted else None,
            token=None if self._token_file is None else read_token(self._token_file),
        )


def connection_options(
    context: typer.Context,
    ca: Annotated[Path | None, _file("ca", "TLS: roots of the servers' certificates.")] = None,
    cert: Annotated[Path | None, _file("cert", "TLS: the client certificate.")] = None,
    key: Annotated[Path | None, _file("key", "TLS: its private key.")] = None,
    token_file: Annotated[Path | None, _file("token-file", "The bearer token.")] = None,
) -> None:
    """Keeps what stands before the command, for the command."""
    if (cert is None) != (key is None):
        violation = FieldViolation("--cert", "goes with --key: give both or neither")
        raise SettingsError("the command line is refused", [violation])
    context.obj = _Connection(ca, cert, key, token_file)


def connect(context: typer.Context, kind: type[ClientT], address: str) -> ClientT:
    """Opens a client, as the options before the command say.

    Raises:
        SettingsError: A certificate, key or token cannot be read.
        InvalidInputError: The address is refused, or the token would leave in plain text.
    """
    connection: _Connection = context.obj
    return connection.open(kind, address)
