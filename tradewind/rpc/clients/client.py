"""What every client has: its channel, the health of its service, and our exceptions."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tradewind.errors import UnavailableError
from tradewind.rpc.clients.channel import Addresses, channel_options, channel_target
from tradewind.rpc.status import error_from_rpc

__all__ = ["Client", "raise_ours"]


class Client:
    """A connection to one service; a context manager that closes it.

    Args:
        address: `HOST:PORT` or `unix:PATH`; or several `IP:PORT`, with commas between or as a
            sequence, whose servers then get calls in turn.
        service: Full name of the service in its proto.
        retried_methods: Methods that may be sent twice.
        timeout_s: Deadline of a call, in seconds.

    Raises:
        InvalidInputError: The address is refused.
    """

    def __init__(
        self, address: Addresses, service: str, retried_methods: Sequence[str], timeout_s: float
    ) -> None:
        self._service = service
        self._timeout_s = timeout_s
        target = channel_target(address)
        self._channel = grpc.insecure_channel(target, channel_options(service, retried_methods))

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

    def wait_ready(self, timeout_s: float) -> None:
        """Waits until the service says that it serves.

        Raises:
            UnavailableError: It did not within `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while not self.is_serving():
            if time.monotonic() > deadline:
                raise UnavailableError(f"{self._service} did not serve within {timeout_s:g} s")
            time.sleep(0.05)

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
