"""How much of a server callers may hold, together and each of them alone."""

import resource
from typing import Final

from pydantic import Field

from tradewind.settings import Settings

__all__ = ["NetworkLimits", "raise_file_limit", "share_of"]

_MOST_FILES: Final = 65_536


class NetworkLimits(Settings):
    """What callers may hold of a server before anybody knows what they want."""

    message_timeout_s: float = Field(default=5.0, gt=0.0, le=600.0)
    """Seconds from the headers of a call to its message; a call whose message has not come by then
    is refused. Until it has come, a call holds no thread."""

    waiting_calls: int = Field(default=512, ge=1, le=65_536)
    """Calls whose message has not come yet; one more ends the oldest of them."""

    caller_share: float = Field(default=0.75, gt=0.0, le=1.0)
    """Part of the calls, and of the streams, that one connection may have under way, and one
    identity of the access policy on all its connections; or, where nobody is known, one other
    machine. 1 lets one caller have all."""

    streams: int | None = Field(default=None, ge=1)
    """Calls with a stream of requests or of answers that may be open; each holds a thread, so there
    must be more of these. By default half of them."""

    stream_idle_s: float = Field(default=3_600.0, gt=0.0)
    """Seconds that a stream of requests may be quiet before it is ended."""

    health_watches: int = Field(default=32, ge=1, le=1_024)
    """Open calls of grpc.health.v1.Health/Watch, which have threads of their own."""

    calls_per_connection: int = Field(default=16_384, ge=1)
    """HTTP/2 streams of one connection that are not closed yet, those of refused calls included.
    gRPC's core resets those beyond, which the caller sees as UNAVAILABLE and nothing counts: it is
    for callers who do not read what they are told."""

    connections: int = Field(default=1_024, ge=1)
    """Open connections; one more is closed at once. At most half of the files that the process may
    open, so that it can go on writing its own."""

    handshake_timeout_s: float = Field(default=10.0, gt=0.0)
    """Seconds from a connection's first byte to the end of its TLS and HTTP/2 handshakes."""

    connection_idle_s: float = Field(default=900.0, gt=0.0)
    """Seconds without a call after which a connection is closed; clients open another one when they
    call again."""

    connection_age_s: float | None = Field(default=None, gt=0.0)
    """Seconds after which clients are asked to connect anew, which spreads them over replicas;
    calls under way then get another `connection_grace_s` to end. By default connections live as
    long as they are used: a good one is not ended."""

    connection_grace_s: float = Field(default=60.0, gt=0.0)
    """See `connection_age_s`."""

    ping_s: float = Field(default=60.0, ge=1.0)
    """Seconds of silence after which a caller is asked whether it is still there; without an answer
    for another 20 s, it and its calls are gone."""

    def channel_options(self) -> list[tuple[str, int]]:
        """What gRPC's core keeps to by itself."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        connections = self.connections
        if files != resource.RLIM_INFINITY:
            connections = min(connections, max(1, files // 2))
        options = [
            ("grpc.max_concurrent_streams", self.calls_per_connection),
            ("grpc.max_allowed_incoming_connections", connections),
            ("grpc.server_handshake_timeout_ms", _ms(self.handshake_timeout_s)),
            ("grpc.max_connection_idle_ms", _ms(self.connection_idle_s)),
            ("grpc.keepalive_time_ms", _ms(self.ping_s)),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        if self.connection_age_s is not None:
            options += [
                ("grpc.max_connection_age_ms", _ms(self.connection_age_s)),
                ("grpc.max_connection_age_grace_ms", _ms(self.connection_grace_s)),
            ]
        return options


def share_of(total: int, share: float) -> int:
    """The part of a total that one caller may have: at least 1, and all of it only for 1."""
    return total if share == 1.0 else max(1, min(total - 1, int(total * share)))


def raise_file_limit() -> None:
    """Lets the process open as many files as it is allowed to, within reason.

    Connections are files. Shells and service managers start programs with 1,024, for the sake of
    those that use select(2), which nothing here does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _ms(seconds: float) -> int:
    return min(2**31 - 1, max(1, round(seconds * 1e3)))
