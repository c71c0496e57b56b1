"""Addresses as settings and flags spell them."""

from typing import Annotated

from pydantic import AfterValidator

__all__ = ["Listen", "MetricsListen", "host_and_port", "loopback_dial_address"]


def host_and_port(address: str) -> tuple[str, int]:
    """Splits `HOST:PORT`; an IPv6 host stands in brackets.

    Raises:
        ValueError: It is not of that form or the port is out of range.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{address!r} is not HOST:PORT with a port of 0 to 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


def loopback_dial_address(host: str, port: int) -> str:
    """The address at which a client on this machine reaches a listener on `host`."""
    if host == "0.0.0.0":  # noqa: S104 - compared with, not bound to
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_listen(address: str) -> str:
    if address.startswith("unix:"):
        if len(address) == len("unix:"):
            raise ValueError("unix: needs a path")
        return address
    host_and_port(address)
    return address


def _check_metrics_listen(address: str) -> str:
    if address:
        host_and_port(address)
    return address


Listen = Annotated[str, AfterValidator(_check_listen)]
"""`HOST:PORT` or `unix:PATH`."""

MetricsListen = Annotated[str, AfterValidator(_check_metrics_listen)]
"""`HOST:PORT`, or empty for none."""
