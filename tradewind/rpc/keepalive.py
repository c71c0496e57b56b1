"""How often a client asks whether its connection is alive, and how often a server allows it.

A server that is pinged more often than it allows, on a stream that is quiet for a while, closes the
connection with `too_many_pings`; its default allows one in five minutes.
"""

from typing import Final

__all__ = ["CLIENT_PING_INTERVAL_MS", "CLIENT_PING_TIMEOUT_MS", "SERVER_MIN_PING_INTERVAL_MS"]

CLIENT_PING_INTERVAL_MS: Final = 30_000
CLIENT_PING_TIMEOUT_MS: Final = 10_000
"""Without an answer for so long the connection is taken for dead."""

SERVER_MIN_PING_INTERVAL_MS: Final = 10_000
