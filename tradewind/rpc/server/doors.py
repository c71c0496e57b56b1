"""Which calls of a method are let in, and in which threads they run."""

from __future__ import annotations  # grpcio's own classes are generic in their stubs only

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NoReturn

import grpc

from tradewind.address import UNIX, host_and_port, is_loopback
from tradewind.errors import TradewindError, UnauthenticatedError, UnavailableError
from tradewind.rpc.access import PUBLIC_METHODS, AccessControl
from tradewind.rpc.access.control import Authorise
from tradewind.rpc.access.verifier import TokenNotCheckedError
from tradewind.rpc.server.arrival import Arrival
from tradewind.rpc.server.gate import Places
from tradewind.rpc.server.limits import NetworkLimits

__all__ = ["Doors", "MethodDoor"]

_REFLECTIONS: Final = 4
_OF_HEALTH: Final = "/grpc.health.v1.Health/"
_OF_REFLECTION: Final = "/grpc.reflection."

Refuse = Callable[[Exception, grpc.ServicerContext], NoReturn]


class MethodDoor:
    """The door of one method; see tradewind.rpc.server.arrival.Door.

    Args:
        refuse: Answers a call that is not let in.
        takes_stream: Whether the handler takes an iterator of messages.
        places: How many calls there may be; None for any number.
        threads: Where they run; None for the thread that accepts calls.
        access: Who may call; None for everybody.
        authorise: Looks at the caller of one call.
        holders: Who is counted for a call.
        always: Raises whatever every call is refused with.
    """

    def __init__(
        self,
        *,
        refuse: Refuse,
        takes_stream: bool = False,
        places: Places | None = None,
        threads: ThreadPoolExecutor | None = None,
        access: AccessControl | None = None,
        authorise: Authorise | None = None,
        holders: Callable[[Arrival], tuple[str, ...]] = lambda _: (),
        always: Callable[[], NoReturn] | None = None,
    ) -> None:
        self.takes_stream = takes_stream
        self.refuse = refuse
        self._places = places
        self._submit = None if threads is None else threads.submit
        self._access = access
        self._authorise = authorise
        self._holders = holders
        self._always = always

    def knock(self, arrival: Arrival) -> None:
        """Looks at who calls."""
        if self._always is not None:
            self._always()
        if self._authorise is not None:
            try:
                arrival.policy = self._authorise(arrival.context)
            except TokenNotCheckedError as unknown:
                arrival.unverified = unknown.token

    def enter(self, arrival: Arrival) -> Callable[..., object] | None:
        """Finds a place and a thread."""
        authorise, access = self._authorise, self._access
        if arrival.unverified is not None:
            if self._places is not None:
                self._places.take(arrival, self._holders)
            return lambda *answer: self._verify(arrival, *answer)
        if authorise is not None and access is not None and access.policy is not arrival.policy:
            arrival.policy = authorise(arrival.context)  # who may what has changed since
        if self._places is not None:
            self._places.take(arrival, self._holders)
        return self._submit

    def _verify(self, arrival: Arrival, answer: Callable[..., object], *message: object) -> None:
        """Has the token verified beside the thread that accepts calls, and the call go on then."""
        authorise, submit = self._authorise, self._submit
        assert self._access is not None
        assert self._access.checks is not None
        assert authorise is not None
        assert submit is not None
        assert arrival.unverified is not None

        def go_on() -> None:
            try:
                arrival.policy = authorise(arrival.context)
                submit(answer, *message)
            except Exception as error:
                self.leave(arrival)
                if isinstance(error, RuntimeError):  # its threads have been told to end
                    error = UnavailableError("the server is stopping", reason="STOPPING")
                arrival.refuse(error)

        try:
            self._access.checks.check(arrival.unverified, go_on)
        except TradewindError as error:
            self.leave(arrival)
            arrival.refuse(error)

    def leave(self, arrival: Arrival) -> None:
        """Gives the place to another."""
        if self._places is not None:
            self._places.give_back(arrival)


class Doors:
    """The doors of one server, with the threads behind them.

    What probes ask is answered by the thread that accepts calls, which never waits; watching health
    and reflection have threads and places of their own. So none of them stands in the way of calls,
    nor calls in theirs.

    Args:
        limits: What callers may hold.
        calls: Calls with one request and one answer that may be under way.
        threads: Threads that answer them, and the streams.
        compute_threads: Threads that answer those which do nothing but compute.
        streams: Streams that may be open.
        access: Who may call what; None for everybody everything.

    Attributes:
        streams: The streams that are open.
    """

    def __init__(
        self,
        limits: NetworkLimits,
        *,
        calls: int,
        threads: int,
        compute_threads: int,
        streams: int,
        access: AccessControl | None,
    ) -> None:
        share = limits.caller_share
        self._calls = Places(calls, share, "TOO_MANY_CALLS", "calls", 0.1)
        self.streams = Places(streams, share, "TOO_MANY_STREAMS", "streams", 1.0)
        watches = limits.health_watches
        self._watches = Places(watches, share, "TOO_MANY_WATCHES", "watches of health", 5.0)
        self._reflections = Places(_REFLECTIONS, 1.0, "TOO_MANY_STREAMS", "reflections", 1.0)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self._computing = ThreadPoolExecutor(compute_threads, thread_name_prefix="compute")
        self._watching = ThreadPoolExecutor(watches, thread_name_prefix="health")
        self._reflecting = ThreadPoolExecutor(_REFLECTIONS, thread_name_prefix="reflection")
        self._computing_methods: set[str] = set()
        self._access = access

    def compute(self, methods: Sequence[str]) -> None:
        """Has methods, named `/package.Service/Method`, run in the threads for what computes."""
        self._computing_methods.update(methods)

    def of(self, method: str, *, takes_stream: bool, is_stream: bool, refuse: Refuse) -> MethodDoor:
        """The door of a method."""
        places: Places | None = self._calls
        threads: ThreadPoolExecutor | None = self._threads
        if method.startswith(_OF_HEALTH) and is_stream:
            places, threads = self._watches, self._watching
        elif method.startswith(_OF_REFLECTION):
            places, threads = self._reflections, self._reflecting
        elif is_stream:
            places = self.streams
        elif method in PUBLIC_METHODS:
            places = threads = None
        elif method in self._computing_methods:
            threads = self._computing
        return MethodDoor(
            refuse=refuse,
            takes_stream=takes_stream,
            places=places,
            threads=threads,
            access=self._access,
            authorise=None if self._access is None else self._access.authoriser(method),
            holders=self._holders,
        )

    def close(self) -> None:
        """Lets the threads end once they have nothing to do."""
        for pool in (self._threads, self._computing, self._watching, self._reflecting):
            pool.shutdown(wait=False)

    def _holders(self, arrival: Arrival) -> tuple[str, ...]:
        peer = arrival.context.peer()
        if peer.startswith(UNIX):  # which says nothing about who it is
            return self._identity(arrival)
        host, _ = host_and_port(peer.partition(":")[2].replace("%5B", "[").replace("%5D", "]"))
        known = self._identity(arrival)
        if not known and not is_loopback(host):
            known = (f"the machine {host}",)
        return (f"the connection from {peer}", *known)

    def _identity(self, arrival: Arrival) -> tuple[str, ...]:
        if self._access is None or arrival.policy is None:
            return ()
        try:
            return (self._access.look_up(arrival.context).name,)
        except UnauthenticatedError:  # not known any more, while its call is still under way
            return ()
