"""A TorchScript network in a process of its own, and its side in the server.

Importing torch and loading a script hold the interpreter lock for hundreds of milliseconds, so
neither is ever done in the process that answers calls.
"""

import contextlib
import os
import signal
import socket
import threading
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference_service.loading.messages import (
    ExecuteAnswer,
    ExecuteCall,
    ExecuteRequest,
    ExecutorReady,
    Method,
)
from tradewind.errors import TradewindError, UnavailableError

__all__ = ["ExecutorNetwork"]

_START_S = 60.0
_ANSWER_S = 5.0  # a network that takes longer hangs, and is killed


class ExecutorNetwork:
    """A network that a fork of the loading process executes, one call at a time.

    A process that ended or hangs costs the call that finds out; the next call starts another one.

    Args:
        requests: Where the loading process takes requests.
        request: The network.

    Attributes:
        memory_bytes: Of its weights and other constants, about.

    Raises:
        BundleRuntimeError: The network does not load.
        UnavailableError: The process does not start.
    """

    runtime: Final = "torchscript"

    def __init__(self, requests: socket.socket, request: ExecuteRequest) -> None:
        self._requests = requests
        self._request = request
        self._turn = threading.Lock()
        self._connection: Connection[Any, Any] | None = None
        self._pid = 0
        self.memory_bytes = len(request.policy_pt)
        self._start()

    def act(self, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        """The actions in the mode of the distribution; see Network."""
        return self._ask("act", observations)

    def distribution(self, observations: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """The parameters of the distribution; see Network."""
        return self._ask("distribution", observations)

    def warm_up(self, observations: NDArray[np.float32]) -> None:
        """The process has done so before it said that it is ready."""

    def _ask(self, method: Method, observations: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
        with self._turn:
            answer = self._exchange(ExecuteCall(method, observations), _ANSWER_S)
        if isinstance(answer, TradewindError):
            raise answer
        assert isinstance(answer, tuple)
        return answer

    def _exchange(self, message: ExecuteCall | ExecuteRequest, timeout_s: float) -> ExecuteAnswer:
        if self._connection is None:
            self._start()
            assert self._connection is not None
        try:
            self._connection.send(message)
            if not self._connection.poll(timeout_s):
                raise TimeoutError
            answer: ExecuteAnswer = self._connection.recv()
        except (EOFError, OSError) as problem:
            self._lose()
            why = "hangs" if isinstance(problem, TimeoutError) else "ended"
            raise UnavailableError(
                f"the process that executes this policy's TorchScript {why}; another one is started"
            ) from None
        return answer

    def _start(self) -> None:
        mine, theirs = socket.socketpair()
        self._connection, self._pid = Connection(mine.detach()), 0
        with theirs:
            socket.send_fds(self._requests, [b"\0"], [theirs.fileno()])
        ready = self._exchange(self._request, _START_S)
        if isinstance(ready, TradewindError):
            self._lose()
            raise ready
        assert isinstance(ready, ExecutorReady)
        self._pid = ready.pid

    def _lose(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        assert self._connection is not None
        self._connection.close()  # which ends it otherwise
        self._connection = None
