"""Addresses as settings and flags spell them."""

import ipaddress
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

__all__ = [
    "UNIX",
    "Listen",
    "MetricsListen",
    "host_and_port",
    "is_loopback",
    "is_reached_from_afar",
    "join_host_and_port",
    "loopback_dial_address",
    "stays_here",
    "without_scheme",
]

UNIX = "unix:"


def host_and_port(address: str) -> tuple[str, int]:
    """Splits `HOST:PORT`; an IPv6 host stands in brackets.

    Raises:
        ValueError: It is not of that form or the port is out of range.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{address!r} is not HOST:PORT with a port of 0 to 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether a host is reached from this machine only; a name other than localhost is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_reached_from_afar(listen: str) -> bool:
    """Whether other machines may reach what listens at `HOST:PORT` or `unix:PATH`."""
    return not listen.startswith(UNIX) and not is_loopback(host_and_port(listen)[0])


def stays_here(address: str) -> bool:
    """Whether what is sent to a gRPC target is certain not to leave this machine.

    That is `unix:` paths, loopback IPs and `localhost`, `HOST:PORT` each.
    """
    if address.startswith(UNIX):
        return True
    try:
        return is_loopback(host_and_port(without_scheme(address))[0])
    except ValueError:
        return False


def without_scheme(address: str) -> str:
    """A gRPC target of one IP without the scheme that says so."""
    return address.removeprefix("ipv4:").removeprefix("ipv6:")


def join_host_and_port(host: str, port: int) -> str:
    """What `host_and_port` splits."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def loopback_dial_address(host: str, port: int) -> str:
    """The address at which a client on this machine reaches a listener on `host`."""
    if host == "0.0.0.0":  # noqa: S104 - compared with, not bound to
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return join_host_and_port(host, port)


def _check_listen(address: str) -> str:
    if address.startswith(UNIX):
        if len(address) == len(UNIX):
            raise ValueError("unix: needs a path")
        return address
    host_and_port(address)
    return address


def _as_tuple(addresses: Any) -> Any:
    return (addresses,) if isinstance(addresses, str) else addresses


def _check_metrics_listen(address: str) -> str:
    if address:
        host_and_port(address)
    return address


Listen = Annotated[
    tuple[Annotated[str, AfterValidator(_check_listen)], ...],
    BeforeValidator(_as_tuple, json_schema_input_type=str | tuple[str, ...]),
    Field(min_length=1),
]
"""One or several of `HOST:PORT` and `unix:PATH`."""

MetricsListen = Annotated[str, AfterValidator(_check_metrics_listen)]
"""`HOST:PORT`, or empty for none."""
