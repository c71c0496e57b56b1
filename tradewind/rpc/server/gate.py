"""Where calls wait until their message is there, and who is let in then."""

from __future__ import annotations  # grpcio's own classes are generic in their stubs only

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

from tradewind.errors import (
    InvalidInputError,
    MessageTimeoutError,
    MessageTooLargeError,
    OverloadedError,
    TradewindError,
    UnavailableError,
)
from tradewind.rpc.server.arrival import Arrival, check_grpcio
from tradewind.rpc.server.limits import NetworkLimits, share_of

__all__ = ["Gate", "Places"]


class Places:
    """A bounded number of calls under way, of which no caller may have all.

    Args:
        count: How many there are.
        share: Part of them that one caller may have.
        reason: Machine-readable cause when there is none left.
        named: What they are called in a refusal.
        retry_after_s: When it is worth to ask again.
    """

    def __init__(
        self, count: int, share: float, reason: str, named: str, retry_after_s: float
    ) -> None:
        self._count = count
        self._each = share_of(count, share)
        self._reason = reason
        self._named = named
        self._retry_after_s = retry_after_s
        self.taken: set[Arrival] = set()

    def take(self, arrival: Arrival, holders: Callable[[Arrival], tuple[str, ...]]) -> None:
        """Takes a place; only the thread that accepts calls does.

        Args:
            arrival: The call.
            holders: Who is counted for a call. Looked up only once there are so many calls that one
                caller could have too many of them.

        Raises:
            OverloadedError: None is left, or none for this caller.
        """
        taken = self.taken
        if len(taken) >= self._count:
            raise self._refusal(
                f"{self._count} {self._named} are under way, which is the most allowed"
            )
        if len(taken) >= self._each:
            others = [_holders_of(other, holders) for other in snapshot(taken)]
            for holder in _holders_of(arrival, holders):
                if sum(holder in other for other in others) >= self._each:
                    raise self._refusal(
                        f"{self._each} of {self._count} {self._named} are under way for {holder}, "
                        "which is the most allowed for one caller"
                    )
        taken.add(arrival)

    def give_back(self, arrival: Arrival) -> None:
        """The call is over."""
        self.taken.discard(arrival)

    def _refusal(self, message: str) -> OverloadedError:
        return OverloadedError(message, reason=self._reason, retry_after_s=self._retry_after_s)


def _holders_of(arrival: Arrival, look_up: Callable[[Arrival], tuple[str, ...]]) -> tuple[str, ...]:
    if arrival.holders is None:
        arrival.holders = look_up(arrival)
    return arrival.holders


def snapshot(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """A copy of what other threads change meanwhile."""
    while True:
        try:
            return list(arrivals)
        except RuntimeError:  # changed in the middle of it
            continue


class Gate:
    """What grpcio takes for its pool of threads: passes calls on once their message is there.

    Args:
        limits: How long and how many calls may wait here.
        max_message_bytes: Largest message that is passed on.
        streams: The streams that are open.
    """

    def __init__(self, limits: NetworkLimits, max_message_bytes: int, streams: Places) -> None:
        check_grpcio()
        self._limits = limits
        self._max_message_bytes = max_message_bytes
        self._streams = streams
        self._waiting: OrderedDict[Arrival, None] = OrderedDict()  # the oldest first
        self._stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="overdue", daemon=True)

    def start(self) -> None:
        """Ends calls that wait for too long from now on."""
        self._sweeper.start()

    def stop(self) -> None:
        """Ends what `start` began."""
        self._stopping.set()
        if self._sweeper.is_alive():
            self._sweeper.join()

    def end_waiting(self) -> None:
        """Ends the calls whose message has not come, since the server stops."""
        for arrival in snapshot(self._waiting):
            if self._waiting.pop(arrival, _GONE) is not _GONE:
                arrival.refuse(UnavailableError("the server is stopping", reason="STOPPING"))

    def submit(self, run: Callable[..., Any], in_pool: Any, *call: Any) -> _Unawaited:
        """Called by grpcio, in the thread that accepts calls, when the headers are there."""
        arrival = Arrival(run, in_pool, call, self._on_message)
        try:
            arrival.door.knock(arrival)
            arrival.receive()
        except Exception as error:  # the thread that accepts calls goes on whatever happens
            arrival.refuse(error)
            return _UNAWAITED
        waiting = self._waiting
        waiting[arrival] = None
        if len(waiting) > self._limits.waiting_calls:
            self._end_oldest()
        return _UNAWAITED

    def _on_message(self, arrival: Arrival, message: bytes | None) -> None:
        if self._waiting.pop(arrival, _GONE) is _GONE:
            return  # refused before the message came
        if message is None and not arrival.context.is_active():
            return  # given up; or larger than gRPC's core takes, which has answered then
        try:
            if message is None and not arrival.door.takes_stream:
                raise InvalidInputError("the call ended without a message")
            if message is not None and len(message) > self._max_message_bytes:
                raise MessageTooLargeError(len(message), self._max_message_bytes)
            submit = arrival.door.enter(arrival)
        except TradewindError as error:
            arrival.refuse(error)
            return
        if submit is None:
            arrival.answer(message)
            return
        try:
            submit(arrival.answer, message)
        except RuntimeError:  # its threads have been told to end
            arrival.door.leave(arrival)
            arrival.refuse(UnavailableError("the server is stopping", reason="STOPPING"))

    def _end_oldest(self) -> None:
        try:
            oldest, _ = self._waiting.popitem(last=False)
        except KeyError:
            return
        oldest.refuse(
            OverloadedError(
                f"more than {self._limits.waiting_calls} calls have begun without a message",
                reason="TOO_MANY_WAITING_CALLS",
                retry_after_s=0.1,
            )
        )

    def _sweep(self) -> None:
        """Ends what has waited for too long."""
        timeout_s, idle_s = self._limits.message_timeout_s, self._limits.stream_idle_s
        while not self._stopping.wait(min(timeout_s, idle_s) / 4.0):
            now = time.monotonic()
            for arrival in snapshot(self._waiting):
                if now - arrival.since < timeout_s:
                    break
                if self._waiting.pop(arrival, _GONE) is not _GONE:
                    arrival.refuse(MessageTimeoutError(f"no message came within {timeout_s:g} s"))
            for arrival in snapshot(self._streams.taken):
                requests = arrival.requests
                since = None if requests is None else requests.waiting_since
                if requests is not None and since is not None and now - since > idle_s:
                    requests.cancel()


class _Unawaited:
    """The future that grpcio asks for; it wants to know of the end only to count calls."""

    def add_done_callback(self, _: object) -> None:
        """Nobody is told."""


_GONE: Final = object()
_UNAWAITED: Final = _Unawaited()
