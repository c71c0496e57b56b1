"""How commands that call a service connect to it: the options that stand before every command."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from tradewind import __version__
from tradewind.errors import FieldViolation, SettingsError
from tradewind.rpc.access.token import read_token
from tradewind.rpc.clients.client import Client
from tradewind.rpc.tls import ClientTls, client_credentials
from tradewind.settings import parse_settings
from tradewind.tracing import TracingSettings, tracing

__all__ = ["connect", "connection_options"]

ClientT = TypeVar("ClientT", bound=Client)


def _option(name: str, described: str, metavar: str = "FILE") -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        f"--{name}",
        envvar=f"TRADEWIND_{name.replace('-', '_').upper()}",
        help=described,
        metavar=metavar,
    )
    return option


class _Connection:
    """What the options say; read when a command connects, so that others need no file."""

    def __init__(self, tls: ClientTls, token_file: Path | None, collector: str | None) -> None:
        self._tls = tls
        self._token_file = token_file
        self._collector = collector

    @contextlib.contextmanager
    def open(self, kind: type[ClientT], address: str) -> Iterator[ClientT]:
        """A client of the kind, for the time of a block."""
        encrypted = self._tls != ClientTls()
        with (
            tracing(self._tracing(), "tradewind") as tracer,
            kind(
                address,
                credentials=client_credentials(self._tls) if encrypted else None,
                token=None if self._token_file is None else read_token(self._token_file),
                tracer=tracer,
            ) as client,
        ):
            yield client

    def _tracing(self) -> TracingSettings | None:
        if self._collector is None:
            return None
        return parse_settings({"endpoint": self._collector}, TracingSettings, source="--trace-to")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tradewind {__version__}")
        raise typer.Exit


def connection_options(
    context: typer.Context,
    ca: Annotated[Path | None, _option("ca", "TLS: roots of the servers' certificates.")] = None,
    cert: Annotated[Path | None, _option("cert", "TLS: the client certificate.")] = None,
    key: Annotated[Path | None, _option("key", "TLS: its private key.")] = None,
    token_file: Annotated[Path | None, _option("token-file", "The bearer token.")] = None,
    trace_to: Annotated[
        str | None,
        _option("trace-to", "A collector of traces (OTLP): the calls' spans.", "http://HOST:PORT"),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Shows the version and exits.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Keeps what stands before the command, for the command."""
    if (cert is None) != (key is None):
        violation = FieldViolation("--cert", "goes with --key: give both or neither")
        raise SettingsError("the command line is refused", [violation])
    context.obj = _Connection(ClientTls(ca=ca, certificate=cert, key=key), token_file, trace_to)


def connect(
    context: typer.Context, kind: type[ClientT], address: str
) -> contextlib.AbstractContextManager[ClientT]:
    """A client for the time of a block, as the options before the command say.

    Raises:
        SettingsError: A certificate, key or token cannot be read, or the collector is refused.
        InvalidInputError: The address is refused, or the token would leave in plain text.
    """
    connection: _Connection = context.obj
    return connection.open(kind, address)
