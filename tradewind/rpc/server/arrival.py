"""A call from its headers on; the one place that knows grpcio's insides.

grpcio gives every call a thread of its pool as soon as the headers have come, and the thread waits
for the message: callers that send headers alone hold all threads. Here gRPC's core receives the
message first, in the thread that accepts calls, which never waits. It costs less, too: a thread is
woken once for a call instead of twice.
"""

from __future__ import annotations  # grpcio's own classes are generic in their stubs only

import inspect
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import grpc
from grpc import _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]

__all__ = ["Arrival", "Door", "Requests", "check_grpcio"]

_LOG = logging.getLogger(__name__)
_TOKEN: Final = "receive_message"  # noqa: S105 - grpcio's name of what a call waits for
_ARGUMENTS: Final = (
    "rpc_event",
    "state",
    "behavior",
    "argument_thunk",
    "request_deserializer",
    "response_serializer",
)


class Door(Protocol):
    """What lets the calls of one method in; its handler has it as an attribute `door`."""

    takes_stream: bool

    def knock(self, arrival: Arrival) -> None:
        """Called when the headers are there; raises to refuse the call."""

    def enter(self, arrival: Arrival) -> Callable[..., object] | None:
        """Called when the message is there; raises to refuse the call.

        Returns:
            What has a function called in a thread; None to have the call answered here and now,
            which is for what never waits.
        """

    def leave(self, arrival: Arrival) -> None:
        """Called when a call that entered is over."""

    def refuse(self, error: Exception, context: grpc.ServicerContext) -> Any:
        """Raises an exception through grpcio, as the status that the caller gets."""


class Arrival:
    """One call that grpcio wanted to give a thread.

    Args:
        run: Calls a function in the call's own context.
        in_pool: What grpcio runs in the thread.
        call: What it is called with.
        received: Hears of the message; None for one that will not come.

    Attributes:
        door: What lets it in.
        context: What its handler gets.
        since: When its headers came.
        policy: What the door remembers of who may call.
        unverified: Its bearer token, while that has to be verified first; then None.
        holders: Who is counted for it; None until that is looked up.
        requests: Of a stream, its messages, once the first one is there.
    """

    __slots__ = (
        "_call",
        "_in_pool",
        "_received",
        "_run",
        "context",
        "door",
        "holders",
        "policy",
        "requests",
        "since",
        "unverified",
    )

    def __init__(
        self,
        run: Callable[..., Any],
        in_pool: Any,
        call: tuple[Any, ...],
        received: Callable[[Arrival, bytes | None], None],
    ) -> None:
        event, state, behavior, *_ = call
        self._run = run
        self._in_pool = in_pool
        self._call = call
        self._received = received
        self.door: Door = behavior.door
        self.context: grpc.ServicerContext = _server._Context(event, state, None)
        self.since = time.monotonic()
        self.policy: Any = None
        self.unverified: str | None = None
        self.holders: tuple[str, ...] | None = None
        self.requests: Requests | None = None

    def receive(self) -> None:
        """Has gRPC's core receive the message; grpcio holds the state's lock here."""
        event, state, *_ = self._call
        # An operation has the message in it: each call needs its own.
        event.call.start_server_batch((cygrpc.ReceiveMessageOperation(0),), self._on_message)
        state.due.add(_TOKEN)

    def refuse(self, error: Exception) -> None:
        """Answers with an error, here and now."""
        event, state, _, _, deserializer, serializer = self._call
        door = self.door

        def refuse(_: object, context: grpc.ServicerContext) -> Any:
            return door.refuse(error, context)

        answer = (event, state, refuse, lambda: True, deserializer, serializer)
        self._run(_server._unary_response_in_pool, *answer)

    def answer(self, message: bytes | None) -> None:
        """Runs the handler; not that of a call that was given up, or outlived itself, by now."""
        event, state, behavior, requests, deserializer, serializer = self._call
        try:
            if not self.context.is_active():
                return
            argument: Any = message
            if self.door.takes_stream:
                argument = self.requests = Requests(message, requests(), event.call.cancel)
            call = (event, state, behavior, lambda: argument, deserializer, serializer)
            self._run(self._in_pool, *call)
        finally:
            self.door.leave(self)

    def _on_message(self, event: Any) -> Any:
        """Called by grpcio's thread: the message is there, or will not come any more."""
        message = event.batch_operations[0].message()
        state = self._call[1]
        with state.condition:
            if message is None and state.client is _server._OPEN:
                state.client = _server._CLOSED
            done = _server._possibly_finish_call(state, _TOKEN)
        try:
            self._received(self, message)
        except Exception:  # the thread that accepts calls goes on whatever happens
            _LOG.exception("a call could not be handed over")
            self._call[0].call.cancel()
        return done


class Requests:
    """The messages of a stream, of which the first one is there already.

    Args:
        first: The first one; None for a stream that ended without any.
        rest: The others.
        cancel: Ends the call.

    Attributes:
        waiting_since: When it began to wait for the next one; None while it does not.
    """

    __slots__ = ("_first", "_rest", "cancel", "waiting_since")

    def __init__(
        self, first: bytes | None, rest: Iterator[bytes], cancel: Callable[[], None]
    ) -> None:
        self._first = first
        self._rest = rest
        self.cancel = cancel
        self.waiting_since: float | None = None

    def __iter__(self) -> Requests:
        return self

    def __next__(self) -> bytes:
        first = self._first
        if first is not None:
            self._first = None
            return first
        self.waiting_since = time.monotonic()
        try:
            return next(self._rest)
        finally:
            self.waiting_since = None


def check_grpcio() -> None:
    """Makes sure that grpcio hands calls over in the way that is known here.

    Raises:
        RuntimeError: It does not; the release that is installed is not one that pyproject allows.
    """
    for in_pool in (_server._unary_response_in_pool, _server._stream_response_in_pool):
        if tuple(inspect.signature(in_pool).parameters) != _ARGUMENTS:
            raise RuntimeError(f"grpcio {grpc.__version__} hands calls over in an unknown way")
