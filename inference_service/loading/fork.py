"""One fork of the loading process, from a server's side."""

import contextlib
import select
import signal
import socket
import threading
import time
from typing import Self

from inference_service.loading.messages import ExecuteRequest, LoadRequest, Need
from tradewind.errors import UnavailableError
from tradewind.sealing.wire import WireError, receive, send

__all__ = ["Fork", "describe_ending"]

_LOOK_S = 0.05
_END_S = 5.0  # between the end of a fork and the word of it


class Fork:
    """A fork that works on a request; closing it ends it.

    Args:
        requests: Where the loading process takes requests.
        request: What it is to do.
        deadline: On the monotonic clock: until when the fork has to have taken the request.
        need: What it needs; a Need.

    Attributes:
        connection: To the fork.

    Raises:
        TimeoutError: It has not.
        OSError: The loading process is gone.
    """

    def __init__(
        self,
        requests: socket.socket,
        request: LoadRequest | ExecuteRequest,
        deadline: float,
        need: bytes = Need.NOTHING,
    ) -> None:
        self.connection, theirs = socket.socketpair()
        self._ending, ending = socket.socketpair()
        try:
            with theirs, ending:
                socket.send_fds(requests, [need], [theirs.fileno(), ending.fileno()])
            message, arrays = request.frame()
            send(self.connection, message, arrays, deadline=deadline)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the fork, whatever it does."""
        self.connection.close()
        self._ending.close()

    def finish(self) -> None:
        """Lets the fork end by itself, as it has nothing to do any more; else ends it."""
        self.connection.close()
        self.ending()

    def wait(self, stopping: threading.Event, deadline: float) -> None:
        """Waits until the fork says something or has ended.

        Raises:
            UnavailableError: The server stops.
            TimeoutError: The deadline has passed.
        """
        poller = select.poll()
        poller.register(self.connection, select.POLLIN)
        while not poller.poll(_LOOK_S * 1e3):
            if stopping.is_set():
                raise UnavailableError("the server stops")
            if time.monotonic() > deadline:
                raise TimeoutError

    def ending(self) -> int | None:
        """The exit code of a fork that has ended; None when the loading process ended, too."""
        with contextlib.suppress(EOFError, OSError, WireError):
            deadline = time.monotonic() + _END_S
            message, _ = receive(self._ending, array_bytes=0, deadline=deadline)
            code = message.get("code")
            return code if isinstance(code, int) else None
        return None


def describe_ending(code: int) -> str:
    """An exit code, for people."""
    try:
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    except ValueError:  # a real-time signal
        return f"signal {-code}"
