"""How commands that call a service connect to it: the options that stand before every command.

gRPC is imported by a command that connects, and by no other: it takes half a second.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tradewind import __version__
from tradewind.reporting.progress import QUIET
from tradewind_cli.output import refusal

if TYPE_CHECKING:
    from tradewind.rpc.clients import InferenceClient, RiskClient, TrainerClient
    from tradewind.rpc.clients.client import Client

__all__ = [
    "connection_options",
    "given_options",
    "inference_client",
    "risk_client",
    "trainer_client",
]

ClientT = TypeVar("ClientT", bound="Client")


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

    def __init__(
        self, tls: dict[str, Path | None], token_file: Path | None, collector: str | None
    ) -> None:
        self._tls = tls
        self._token_file = token_file
        self._collector = collector

    @contextmanager
    def open(self, kind: "type[ClientT]", address: str) -> "Iterator[ClientT]":
        """A client of the kind, for the time of a block."""
        from tradewind.rpc.access.token import read_token
        from tradewind.rpc.tls import ClientTls, client_credentials
        from tradewind.settings import parse_settings
        from tradewind.tracing import TracingSettings, tracing

        tls, collector, traces = ClientTls(**self._tls), {"endpoint": self._collector}, None
        if self._collector is not None:
            traces = parse_settings(collector, TracingSettings, source="--trace-to")
        with (
            tracing(traces, "tradewind") as tracer,
            kind(
                address,
                credentials=None if tls == ClientTls() else client_credentials(tls),
                token=None if self._token_file is None else read_token(self._token_file),
                tracer=tracer,
            ) as client,
        ):
            yield client


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tradewind {__version__}")
        raise typer.Exit


def _put_back(before: str | None) -> None:
    os.environ.pop(QUIET)
    if before is not None:
        os.environ[QUIET] = before


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
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Shows no progress; TRADEWIND_QUIET=1 as well.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Shows the version and exits.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Keeps what stands before the command, for the command."""
    if quiet:
        before = os.environ.get(QUIET)
        os.environ[QUIET] = "1"
        context.call_on_close(partial(_put_back, before))
    if (cert is None) != (key is None):
        raise refusal("--cert", "goes with --key: give both or neither")
    context.obj = _Connection({"ca": ca, "certificate": cert, "key": key}, token_file, trace_to)


def given_options(context: typer.Context) -> list[str]:
    """The options of the connection that stand before the command, as words."""
    given = context.find_root().params
    names = ("ca", "cert", "key", "token_file", "trace_to")
    return [
        word
        for name in names
        if given.get(name) is not None
        for word in (f"--{name.replace('_', '-')}", str(given[name]))
    ]


def inference_client(
    context: typer.Context, address: str
) -> "AbstractContextManager[InferenceClient]":
    """A client for the time of a block, as the options before the command say.

    Raises:
        SettingsError: A certificate, key or token cannot be read, or the collector is refused.
        InvalidInputError: The address is refused, or the token would leave in plain text.
    """
    from tradewind.rpc.clients import InferenceClient

    return _connection(context).open(InferenceClient, address)


def risk_client(context: typer.Context, address: str) -> "AbstractContextManager[RiskClient]":
    """As `inference_client`, of a risk service."""
    from tradewind.rpc.clients import RiskClient

    return _connection(context).open(RiskClient, address)


def trainer_client(context: typer.Context, address: str) -> "AbstractContextManager[TrainerClient]":
    """As `inference_client`, of a trainer service."""
    from tradewind.rpc.clients import TrainerClient

    return _connection(context).open(TrainerClient, address)


def _connection(context: typer.Context) -> _Connection:
    connection: _Connection = context.obj
    return connection
