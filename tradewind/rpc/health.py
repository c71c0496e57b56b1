"""Asks a server for its health, as containers and probes do."""

import argparse
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

__all__ = ["is_alive", "is_healthy"]


def is_healthy(address: str, service: str = "", timeout_s: float = 3.0) -> bool:
    """Whether a server says that it serves.

    Args:
        address: `HOST:PORT` or `unix:PATH`.
        service: What is asked for, such as `tradewind.api.risk.v1.RiskService`; empty for all.
        timeout_s: How long the answer may take.
    """
    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=timeout_s
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def is_alive(address: str, timeout_s: float = 3.0) -> bool:
    """Whether a server answers at all, serving or not; takes what `is_healthy` takes."""
    with grpc.insecure_channel(address) as channel:
        try:
            health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=timeout_s
            )
        except grpc.RpcError:
            return False
    return True


def main() -> int:
    """Exit code 0 when the server serves, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m tradewind.rpc.health", description=__doc__)
    parser.add_argument("address", metavar="HOST:PORT|unix:PATH")
    parser.add_argument("service", nargs="?", default="")
    parser.add_argument("--alive", action="store_true", help="any answer will do")
    options = parser.parse_args()
    if options.alive:
        return 0 if is_alive(options.address) else 1
    return 0 if is_healthy(options.address, options.service) else 1


if __name__ == "__main__":
    sys.exit(main())
