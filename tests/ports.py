"""Ports that nobody listens on."""

import socket

__all__ = ["free_ports"]


def free_ports(count: int) -> list[int]:
    """As many as are asked for, none twice."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in taken]
    for each in taken:
        each.close()
    return ports
