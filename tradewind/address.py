"""Addresses as settings and flags spell them."""

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from tradewind.errors import SettingsError

__all__ = [
    "UNIX",
    "Listen",
    "MetricsListen",
    "host_and_port",
    "is_loopback",
    "is_reached_from_afar",
    "join_host_and_port",
    "loopback_dial_address",
    "reserve_port",
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


@contextlib.contextmanager
def reserve_port(address: str) -> Iterator[str]:
    """Inside the block a port is taken, yet processes of this user can listen on it together.

    Each of them must set SO_REUSEPORT; the kernel spreads connections over those that listen.

    Args:
        address: `HOST:PORT`; port 0 picks a free one.

    Yields:
        `HOST:PORT` with the port that was taken.

    Raises:
        SettingsError: The port is taken, or the host is not one of this machine's.
    """
    host, port = host_and_port(address)
    try:
        family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        reservation = socket.socket(family, socket.SOCK_STREAM)
    except OSError as problem:
        raise SettingsError(f"cannot listen on {address}: {problem}") from None
    with reservation:
        try:
            # Bound alone and shared only then: a server that was there before is found, whatever
            # it allows. SO_REUSEADDR for the moment of binding, so that connections that have just
            # ended do not count; afterwards it would let another reservation in.
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reservation.bind(target)
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except OSError as problem:
            raise SettingsError(f"cannot listen on {address}: {problem}") from None
        yield join_host_and_port(host, reservation.getsockname()[1])


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
