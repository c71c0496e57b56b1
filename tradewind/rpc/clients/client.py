"""The blocking side: makes calls on threads of the caller."""

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc
from grpc_health.v1 import health_pb2_grpc

from tradewind.errors import TradewindError
from tradewind.rpc.clients.call import Call, Page, describe, health_check, not_ready
from tradewind.rpc.clients.channel import READINESS_PAUSE_S
from tradewind.rpc.clients.connection import Connection
from tradewind.rpc.request_ids import Metadata, request_metadata
from tradewind.rpc.status import code_of, error_from_rpc

__all__ = ["Client", "pages", "server_stream", "unary"]

P = ParamSpec("P")
R = TypeVar("R")


class Client(Connection):
    """A connection to one service, for any number of threads; a context manager that closes it."""

    def is_serving(self, *, timeout_s: float | None = None) -> bool:
        """Asks the server's health; a server that cannot be reached does not serve."""
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        check = health_check(self.service, timeout_s)
        try:
            return self._send(health_pb2_grpc.HealthStub(self._channel), check, self._metadata)
        except TradewindError:
            return False

    def wait_ready(self, timeout_s: float) -> None:
        """Waits until the service says that it serves.

        Raises:
            UnavailableError: It did not within `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            if self.is_serving(timeout_s=left_s):
                return
            time.sleep(min(READINESS_PAUSE_S, left_s))
        raise not_ready(self.service, self._target, timeout_s)

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

    def _call(self, call: Call[R]) -> R:
        own = request_metadata(call.request, self._metadata)
        with self._spans.call(call.method, own) as metadata:
            return self._send(self._stub, call, metadata)

    def _send(self, stub: Any, call: Call[R], metadata: Metadata) -> R:
        timeout_s = self._timeout_s if call.timeout_s is None else call.timeout_s
        try:
            answer = getattr(stub, call.method)(call.request, timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from None
        return call.parse(answer)


def unary(build: Callable[P, Call[R]]) -> Callable[Concatenate[Client, P], R]:
    """The method of a client that makes a call with one answer."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._call(build(*args, **kwargs))

    describe(method, build)
    return method


def pages(build: Callable[P, Call[Page[R]]]) -> Callable[Concatenate[Client, P], Iterator[R]]:
    """The method of a client that goes through a list, a page for each call."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        call: Any = build(*args, **kwargs)
        while True:
            page: Page[R] = self._call(call)
            yield from page.items
            if not page.next_page_token:
                return
            call.request.page_token = page.next_page_token

    describe(method, build)
    return method


def server_stream(build: Callable[P, Call[R]]) -> Callable[Concatenate[Client, P], Iterator[R]]:
    """The method of a client that makes a call with a stream of answers, by default endless."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        call = build(*args, **kwargs)
        span, code = self._spans.start(call.method), "CANCELLED"
        metadata = span.metadata(request_metadata(call.request, self._metadata))
        answers = getattr(self._stub, call.method)(
            call.request, timeout=call.timeout_s, metadata=metadata
        )
        try:
            for answer in answers:
                yield call.parse(answer)
            code = "OK"
        except grpc.RpcError as error:
            problem = error_from_rpc(error)
            code = code_of(problem)
            raise problem from None
        finally:
            answers.cancel()  # a caller that has seen enough; nothing when the stream has ended
            span.end(code)

    describe(method, build)
    return method
