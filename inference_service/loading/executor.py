"""A TorchScript network in a sealed process of its own, and its side in the server.

Importing torch and loading a script hold the interpreter lock for hundreds of milliseconds, so
neither is ever done in the process that answers calls.
"""

import logging
import socket
import threading
import time
from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference_service.awaited import UnawaitedError, is_awaited
from inference_service.loading.fork import Fork
from inference_service.loading.messages import ExecuteRequest, Need
from tradewind.errors import BundleError, OverloadedError, UnavailableError
from tradewind.policy.sealed.network import Method, SealedCalls, hear_loaded
from tradewind.sealing.wire import WireError

__all__ = ["ExecutorGate", "ExecutorNetwork", "HangingError"]

_LOG = logging.getLogger(__name__)
_KILLS_WITHIN_S: Final = 600.0
_RETRY_QUEUE_S: Final = 0.1  # callers of a network that answers, and has too many of them
_RETRY_SLOW_S: Final = 1.0


class HangingError(UnavailableError):
    """A network did not answer in time, or did not start in time."""


class ExecutorGate:
    """Counts the executors of a server whose call is slow: each holds one of its threads.

    Args:
        most: So many may be slow before calls of other executors are refused.
    """

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._since: dict[int, float] = {}

    def begin(self, key: int, slow_s: float) -> None:
        """Notes that an executor begins a call.

        Raises:
            OverloadedError: Too many others are slow.
        """
        now = time.monotonic()
        slow = sum(now - since > slow_s for since in list(self._since.values()))
        if slow >= self._most:
            raise OverloadedError(
                f"{slow} TorchScript networks are slow, and no more threads may wait for any",
                reason="TOO_MANY_SLOW_NETWORKS",
                retry_after_s=_RETRY_SLOW_S,
            )
        self._since[key] = now

    def end(self, key: int) -> None:
        """Notes that it is over."""
        self._since.pop(key, None)


class ExecutorNetwork:
    """A network that a fork of the loading process executes, one call at a time.

    A process that ended or hangs costs the call that finds out; the next call starts another one.
    While a call is slow, others are refused at once: waiting, they would hold threads that other
    policies need.

    Args:
        requests: Where the loading process takes requests.
        request: The network, and what executing it may take.
        gate: Shared by all networks of the server; by default it has one of its own.
        name: In the log.

    Attributes:
        memory_bytes: Of its weights and other constants, about.

    Raises:
        BundleRuntimeError: The network does not load.
        UnavailableError: The process does not start.
    """

    runtime: Final = "torchscript"

    def __init__(
        self,
        requests: socket.socket,
        request: ExecuteRequest,
        *,
        gate: ExecutorGate | None = None,
        name: str = "a network",
    ) -> None:
        self._requests = requests
        self._request = request
        self._bounds = request.bounds
        self._gate = gate or ExecutorGate(1)
        self._name = name
        self._turn = threading.Condition()
        self._busy_since: float | None = None
        self._waiting = 0
        self._fork: Fork | None = None
        self._calls: SealedCalls | None = None
        self._kills: deque[float] = deque(maxlen=self._bounds.kills)
        self._failure = ""
        self.memory_bytes = len(request.policy_pt)
        self._start()

    def __del__(self) -> None:
        fork = getattr(self, "_fork", None)
        if fork is not None:
            fork.close()

    def share(self, gate: ExecutorGate) -> None:
        """Counts among the networks of a server from now on."""
        self._gate = gate

    def failure(self) -> str:
        """Why the version is to be quarantined; empty while it is not."""
        return self._failure

    def act(self, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        """The actions in the mode of the distribution; see Network."""
        return self._ask("act", observations)

    def distribution(self, observations: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """The parameters of the distribution; see Network."""
        return self._ask("distribution", observations)

    def warm_up(self, observations: NDArray[np.float32]) -> None:
        """The process has done so before it said that it is ready."""

    def _ask(self, method: Method, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        if self._failure:
            raise UnavailableError(self._failure)
        self._take_turn()
        try:
            self._gate.begin(id(self), self._bounds.slow_s)
            if not is_awaited():
                raise UnawaitedError("nobody awaits the answer any more")
            return self._call(method, observations)
        finally:
            self._gate.end(id(self))
            with self._turn:
                self._busy_since = None
                self._turn.notify()

    def _take_turn(self) -> None:
        with self._turn:
            if self._busy_since is not None and self._waiting >= self._bounds.max_waiting:
                raise _too_many(f"{self._waiting} calls wait for {self._name} already")
            self._waiting += 1
            try:
                while self._busy_since is not None:
                    left = self._busy_since + self._bounds.slow_s - time.monotonic()
                    if left <= 0.0:
                        raise _too_many(f"{self._name} is slow: one call at a time", _RETRY_SLOW_S)
                    self._turn.wait(left)
                self._busy_since = time.monotonic()
            finally:
                self._waiting -= 1

    def _call(self, method: Method, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        if self._calls is None:
            self._start()
            assert self._calls is not None
        try:
            return self._calls.ask(method, observations, self._bounds.timeout_s)
        except (EOFError, OSError, WireError) as problem:
            raise self._lose(problem) from None

    def _start(self) -> None:
        deadline = time.monotonic() + self._bounds.start_timeout_s
        try:
            self._fork = Fork(self._requests, self._request, deadline, Need.TORCHSCRIPT)
            hear_loaded(self._fork.connection, deadline=deadline)
        except BundleError:
            self._end()
            raise
        except (EOFError, OSError, WireError) as problem:
            raise self._lose(problem) from None
        self._calls = SealedCalls(self._fork.connection)

    def _lose(self, problem: Exception) -> UnavailableError:
        """Kills the process; after several, the version is given up."""
        self._end()
        if isinstance(problem, WireError):
            how = "gave an answer that is none"
        else:
            how = "hangs" if isinstance(problem, TimeoutError) else "ended"
        now = time.monotonic()
        self._kills.append(now)
        if len(self._kills) == self._bounds.kills and now - self._kills[0] <= _KILLS_WITHIN_S:
            self._failure = (
                f"{self._bounds.kills} processes that executed {self._name} were lost within "
                f"{_KILLS_WITHIN_S:g} s, the last one because it {how}"
            )
        _LOG.warning("the process that executes %s %s; it is killed", self._name, how)
        kind = HangingError if isinstance(problem, TimeoutError) else UnavailableError
        return kind(
            f"the process that executes this policy's TorchScript {how}; another one is started"
        )

    def _end(self) -> None:
        if self._fork is not None:
            self._fork.close()
        self._fork, self._calls = None, None


def _too_many(message: str, retry_after_s: float = _RETRY_QUEUE_S) -> OverloadedError:
    return OverloadedError(
        message, reason="TOO_MANY_CALLS_OF_A_NETWORK", retry_after_s=retry_after_s
    )
