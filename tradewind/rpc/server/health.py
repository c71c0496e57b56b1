"""Asks a server for its health, as containers and probes do."""

import argparse
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tradewind.address import stays_here
from tradewind.rpc.tls import ClientTls, client_credentials

__all__ = ["is_alive", "is_healthy"]


def is_healthy(
    address: str, service: str = "", timeout_s: float = 3.0, tls: ClientTls | None = None
) -> bool:
    """Whether a server says that it serves.

    Args:
        address: `HOST:PORT` or `unix:PATH`.
        service: What is asked for, such as `tradewind.api.risk.v1.RiskService`; empty for all.
        timeout_s: How long the answer may take.
        tls: Certificates; without, it is asked in plain text.
    """
    return _ask(address, service, timeout_s, tls) == health_pb2.HealthCheckResponse.SERVING


def is_alive(address: str, timeout_s: float = 3.0, tls: ClientTls | None = None) -> bool:
    """Whether a server answers at all, serving or not; takes what `is_healthy` takes."""
    return _ask(address, "", timeout_s, tls) is not None


def _ask(address: str, service: str, timeout_s: float, tls: ClientTls | None) -> int | None:
    options = [("grpc.enable_http_proxy", int(not stays_here(address)))]
    if tls is None:
        opened = grpc.insecure_channel(address, options)
    else:
        opened = grpc.secure_channel(address, client_credentials(tls), options)
    with opened as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
        except grpc.RpcError:
            return None
    status: int = answer.status
    return status


def main() -> int:
    """Exit code 0 when the server serves, 1 when not."""
    parser = argparse.ArgumentParser(
        prog="python -m tradewind.rpc.server.health", description=__doc__
    )
    parser.add_argument("address", metavar="HOST:PORT|unix:PATH")
    parser.add_argument("service", nargs="?", default="")
    parser.add_argument("--alive", action="store_true", help="any answer will do")
    for name in ClientTls.model_fields:
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help="PEM file, for TLS")
    options = parser.parse_args()
    files = {name: getattr(options, name) for name in ClientTls.model_fields}
    tls = ClientTls(**files) if any(files.values()) else None
    if options.alive:
        return 0 if is_alive(options.address, tls=tls) else 1
    return 0 if is_healthy(options.address, options.service, tls=tls) else 1


if __name__ == "__main__":
    sys.exit(main())
