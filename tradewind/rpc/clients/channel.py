"""What sync and asyncio channels share: their target, balancing, retries and keep-alive."""

import ipaddress
import json
from collections.abc import Sequence
from typing import Any, Final

from tradewind.address import host_and_port, stays_here, without_scheme
from tradewind.errors import FieldViolation, InvalidInputError
from tradewind.rpc.access.token import bearer_metadata
from tradewind.rpc.clients.call import Service
from tradewind.rpc.keepalive import CLIENT_PING_INTERVAL_MS, CLIENT_PING_TIMEOUT_MS
from tradewind.rpc.request_ids import Metadata

__all__ = [
    "READINESS_PAUSE_S",
    "Addresses",
    "call_metadata",
    "channel_options",
    "channel_target",
    "service_config",
]

READINESS_PAUSE_S: Final = 0.05
"""Between two questions whether a server is ready."""

Addresses = str | Sequence[str]
"""One address, several in one string with commas between, or a sequence of addresses.

`HOST:PORT`, `unix:PATH` or any target that gRPC knows; several must be `IP:PORT`.
"""


def channel_target(addresses: Addresses) -> str:
    """The gRPC target that stands for one or more addresses.

    A single name may stand for several replicas: gRPC asks DNS for all of them, and asks again
    when one is lost. Several addresses are taken as they are, so they must be numeric.

    Raises:
        InvalidInputError: No address, or one of several is not `IP:PORT`, or IPv4 and IPv6 are
            mixed.
    """
    parts = _parts(addresses)
    if len(parts) == 1 and parts[0]:
        return parts[0]
    scheme, *others = sorted({_scheme(part) for part in parts}) or [""]
    if not scheme or others:
        raise _refusal("at least one is needed" if not scheme else "IPv4 and IPv6 are mixed")
    return f"{scheme}:{','.join(part.removeprefix(f'{scheme}:') for part in parts)}"


def channel_options(
    service: Service,
    addresses: Addresses,
    *,
    shows_token: bool,
    max_message_bytes: int | None = None,
) -> list[tuple[str, Any]]:
    """The options of a channel to one service.

    Args:
        service: The service.
        addresses: Where it is. A proxy that the environment names may stand between, but not on the
            way to this machine itself, where gRPC would go through it, too.
        shows_token: Whether calls show a token in plain text, which no proxy may see.
        max_message_bytes: Largest message that the server takes, where that is known.

    Calls go to the replicas in turn. The service's retried methods are tried again with growing
    pauses, each time on the next replica, while the answer is UNAVAILABLE and the deadline allows;
    or CANCELLED, which is what a server that shuts down says to calls it has received but not begun
    (grpc/grpc#41785). Any other method is sent again only if gRPC knows that no server has seen it.
    """
    proxied = not shows_token and not all(map(stays_here, _parts(addresses)))
    return [
        ("grpc.service_config", json.dumps(service_config(service))),
        ("grpc.keepalive_time_ms", CLIENT_PING_INTERVAL_MS),
        ("grpc.keepalive_timeout_ms", CLIENT_PING_TIMEOUT_MS),
        # A replica that comes back gets calls again at once; gRPC's own limit is 2 minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
        # How large a message may be is the server's decision.
        ("grpc.max_send_message_length", -1 if max_message_bytes is None else max_message_bytes),
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_http_proxy", int(proxied)),
    ]


def service_config(*services: Service) -> dict[str, Any]:
    """GRPC's service config of clients: which methods are tried again, and the balancing.

    `tradewind/api/service_config.json` is that of all services, for clients in other languages.
    """
    retry = {
        "maxAttempts": 4,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    names = [
        {"service": service.full_name, "method": name}
        for service in services
        for name in service.retried_methods
    ]
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": names, "retryPolicy": retry}],
    }


def call_metadata(token: str | None, addresses: Addresses, *, plaintext: bool) -> Metadata:
    """The metadata of every call of a client that shows a token.

    Raises:
        InvalidInputError: The token would leave this machine in plain text: only `unix:` paths,
            loopback IPs and `localhost` are certain not to be another one.
    """
    if token is None:
        return None
    for address in _parts(addresses) if plaintext else ():
        if not stays_here(address):
            raise InvalidInputError(
                "the token is not sent",
                [FieldViolation("token", f"{address} may be another machine, which takes TLS")],
            )
    return bearer_metadata(token)


def _parts(addresses: Addresses) -> list[str]:
    parts = addresses.split(",") if isinstance(addresses, str) else list(addresses)
    return [part.strip() for part in parts]


def _scheme(address: str) -> str:
    address = without_scheme(address)
    try:
        host, _ = host_and_port(address)
        return f"ipv{ipaddress.ip_address(host).version}"
    except ValueError:
        raise _refusal(
            f"{address!r} is not IP:PORT, which each of several must be; "
            "a single name may stand for all replicas"
        ) from None


def _refusal(description: str) -> InvalidInputError:
    return InvalidInputError("the addresses are refused", [FieldViolation("address", description)])
