"""Ports: taking one for several processes, and what to say of one that cannot be had."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tradewind.address import UNIX, host_and_port, join_host_and_port
from tradewind.errors import SettingsError

__all__ = ["EPHEMERAL_CURE", "is_ephemeral", "owner_of", "reserve_port", "why_not"]

_PROC: Final = Path("/proc")
_RANGE: Final = _PROC / "sys/net/ipv4/ip_local_port_range"
_RESERVED: Final = _PROC / "sys/net/ipv4/ip_local_reserved_ports"
_LONGEST: Final = 80
EPHEMERAL_CURE: Final = "sysctl -w net.ipv4.ip_local_reserved_ports=50051-50053 keeps them free"
"""What keeps the system from lending the services' ports to outgoing connections."""


def why_not(address: str, problem: Exception) -> str:
    """Why an address cannot be listened on, in one line.

    Args:
        address: `HOST:PORT` or `unix:PATH`.
        problem: What the attempt ended with.

    Returns:
        Of a port that is in use, who has it as far as can be seen, and what to do.
    """
    if address.startswith(UNIX) or not _is_in_use(address):
        return str(problem)
    port = host_and_port(address)[1]
    said = f"the port is in use{owner_of(port)}: end that, or listen elsewhere"
    if is_ephemeral(port):
        said += f". The system lends ports such as {port} to outgoing connections: {EPHEMERAL_CURE}"
    return said


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
        raise SettingsError(f"cannot listen on {address}: {why_not(address, problem)}") from None
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
            raise SettingsError(
                f"cannot listen on {address}: {why_not(address, problem)}"
            ) from None
        yield join_host_and_port(host, reservation.getsockname()[1])


def is_ephemeral(port: int) -> bool:
    """Whether the system may lend a port to any outgoing connection; False where unknown."""
    try:
        lowest, highest = (int(text) for text in _RANGE.read_text().split())
        reserved = _RESERVED.read_text().strip()
    except (OSError, ValueError):
        return False
    for part in filter(None, reserved.split(",")):
        first, _, last = part.partition("-")
        if int(first) <= port <= int(last or first):
            return False
    return lowest <= port <= highest


def owner_of(port: int) -> str:
    """` by PID 123 (its command line)`; empty where it is nobody's of this user, or unknown."""
    sockets = _sockets_of(port)
    for process in _PROC.glob("[0-9]*") if sockets else ():
        if sockets.isdisjoint(_links(process / "fd")):
            continue
        if process.name == str(os.getpid()):
            return " by this process"
        with contextlib.suppress(OSError):  # it has ended meanwhile
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            return f" by PID {process.name} ({' '.join(words).strip()[:_LONGEST]})"
    return ""


def _links(folder: Path) -> Iterator[str]:
    """Where the links in a folder point to; none where it is somebody else's."""
    with contextlib.suppress(OSError):
        for link in folder.iterdir():
            with contextlib.suppress(OSError):  # gone: the descriptor of this very listing
                yield str(link.readlink())


def _sockets_of(port: int) -> set[str]:
    """The sockets that have a port here, as the links of a process's descriptors name them."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            _, local, *others = row.split()
            if int(local.rpartition(":")[2], 16) == port:
                found.add(f"socket:[{others[7]}]")
    return found


def _is_in_use(address: str) -> bool:
    host, port = host_and_port(address)
    try:
        family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except OSError as problem:
        return problem.errno == errno.EADDRINUSE
    return False
