"""grpc.health.v1 as this server answers it.

grpcio's own servicer has no List, and sends to each of its watchers in turn under a lock: one that
does not read holds up all others, Check, and the server's drain.
"""

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tradewind.errors import NotFoundError

__all__ = ["HealthServicer"]

_States = health_pb2.HealthCheckResponse
_messages: Any = health_pb2  # the stubs do not know List


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Says whether services serve; each watcher is told from a thread of its own.

    `List` names the services of the server; what else health knows, such as single policies, is
    answered to those who know its name.
    """

    def __init__(self) -> None:
        self._states: Mapping[str, Any] = {"": _States.NOT_SERVING}
        self._changed = threading.Condition()
        self._draining = False
        self._closed = False

    def set(self, name: str, *, serving: bool) -> None:
        """Says what is answered for a name; nothing once the drain has begun."""
        with self._changed:
            if not self._draining:
                state = _States.SERVING if serving else _States.NOT_SERVING
                self._states = {**self._states, name: state}
                self._changed.notify_all()

    def is_serving(self) -> bool:
        """What is said of the whole server."""
        return bool(self._states[""] == _States.SERVING)

    def drain(self) -> None:
        """Nothing serves from now on."""
        with self._changed:
            self._draining = True
            self._states = dict.fromkeys(self._states, _States.NOT_SERVING)
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the calls of all watchers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def Check(
        self, request: health_pb2.HealthCheckRequest, _context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """The state of one service, or of the server."""
        state = self._states.get(request.service)
        if state is None:
            raise NotFoundError("health knows no service of that name")
        return health_pb2.HealthCheckResponse(status=state)

    def List(self, _request: Any, _context: grpc.ServicerContext) -> Any:
        """The state of the server and of each of its services."""
        return _messages.HealthListResponse(
            statuses={
                name: health_pb2.HealthCheckResponse(status=state)
                for name, state in self._states.items()
                if "/" not in name
            }
        )

    def Watch(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> Iterator[health_pb2.HealthCheckResponse]:
        """The state now and at every change."""
        context.add_callback(self._wake)
        told = None
        while True:
            with self._changed:
                while (state := self._state_of(request.service)) == told:
                    if self._closed or not context.is_active():
                        return
                    self._changed.wait()
            told = state
            yield health_pb2.HealthCheckResponse(status=state)

    def _state_of(self, name: str) -> Any:
        return self._states.get(name, _States.SERVICE_UNKNOWN)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
