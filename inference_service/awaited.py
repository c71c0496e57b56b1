"""Whether anybody still awaits the answer to the call that this thread works on.

A call waits for a thread, and may then wait for its turn at a network that answers one at a time.
Its caller may have given up meanwhile, and what nobody awaits is not worth executing.
"""

import threading
from collections.abc import Callable

from tradewind.errors import UnavailableError

__all__ = ["UnawaitedError", "is_awaited", "note_call"]


class UnawaitedError(UnavailableError):
    """Nobody awaits the answer any more, so nothing was executed; no fault of the network."""


class _Call(threading.local):
    is_active: Callable[[], bool] | None = None


_CALL = _Call()


def note_call(is_active: Callable[[], bool]) -> None:
    """Notes the call that this thread works on from now on.

    Args:
        is_active: Whether its caller still waits.
    """
    _CALL.is_active = is_active


def is_awaited() -> bool:
    """Whether the caller still waits; true on a thread that answers no calls."""
    is_active = _CALL.is_active
    return is_active is None or is_active()
