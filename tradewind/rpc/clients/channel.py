"""The channel under every client: deadlines, retries, keep-alive, and our exceptions."""

import contextlib
import json
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tradewind.rpc.status import error_from_rpc

__all__ = ["Client", "raise_ours"]

_KEEP_ALIVE_MS = 30_000


class Client:
    """A connection to one service; a context manager that closes it.

    Calls that change nothing are tried again, with growing pauses, while the server answers
    UNAVAILABLE and the deadline allows; or CANCELLED, which is what a server that shuts down says
    to calls it has received but not begun (grpc/grpc#41785).

    Args:
        address: `HOST:PORT` or `unix:PATH`.
        service: Full name of the service in its proto.
        retried_methods: Methods that may be sent twice.
        timeout_s: Deadline of a call, in seconds.
    """

    def __init__(
        self, address: str, service: str, retried_methods: tuple[str, ...], timeout_s: float
    ) -> None:
        retry = {
            "maxAttempts": 4,
            "initialBackoff": "0.05s",
            "maxBackoff": "0.5s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
        }
        names = [{"service": service, "method": method} for method in retried_methods]
        service_config = {"methodConfig": [{"name": names, "retryPolicy": retry}]}
        self._service = service
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.service_config", json.dumps(service_config)),
                ("grpc.keepalive_time_ms", _KEEP_ALIVE_MS),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
            ],
        )

    def is_serving(self) -> bool:
        """Asks the server's health; a server that cannot be reached does not serve."""
        stub = health_pb2_grpc.HealthStub(self._channel)
        request = health_pb2.HealthCheckRequest(service=self._service)
        try:
            # grpcio's type stubs leave the methods of this stub out.
            answer = stub.Check(request, timeout=self._timeout_s)  # type: ignore[attr-defined]
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def close(self) -> None:
        """Closes the connection; calls under way are cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@contextlib.contextmanager
def raise_ours() -> Iterator[None]:
    """Inside the block a failed call raises the exception that its server raised."""
    try:
        yield
    except grpc.RpcError as error:
        raise error_from_rpc(error) from None
