"""The access policy in force, replaced while a server runs when its file changes."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from tradewind.errors import SettingsError
from tradewind.rpc.access.policy import AccessPolicy, read_access

__all__ = ["AccessSource"]

_LOG: Final = logging.getLogger(__name__)
_POLL_S: Final = 1.0
_STOP_S: Final = 5.0


class AccessSource:
    """Loads the file, and polls it while it is followed.

    Args:
        path: The access policy.
        registry: Where refusals of a changed file are counted.

    Attributes:
        current: The policy in force; each load makes a new object.

    Raises:
        SettingsError: The file is refused at the start.
    """

    def __init__(self, path: Path, registry: CollectorRegistry) -> None:
        self._path = path
        self._refusals = Counter(
            "tradewind_rpc_access_refusals",
            "Changes of the access policy that were refused, the last good one stays",
            registry=registry,
        )
        self._seen: bytes | str = read_access(path)
        self.current = AccessPolicy.parse(self._seen, str(path))

    def follow(self) -> Callable[[], None]:
        """Takes changes over from now on; gives what ends that."""
        stopping = threading.Event()

        def poll() -> None:
            while not stopping.wait(_POLL_S):
                self._look()

        thread = threading.Thread(target=poll, name="access", daemon=True)
        thread.start()

        def stop() -> None:
            stopping.set()
            thread.join(_STOP_S)  # a file system that hangs does not keep the process

        return stop

    def _look(self) -> None:
        # What it says is compared and not when it was written: who takes a role away by an edit of
        # the same length, or copies the file with its times, must not be missed.
        try:
            seen: bytes | str = read_access(self._path)
        except SettingsError as problem:
            seen = str(problem)
        if seen == self._seen:
            return
        # Remembered before loading: a file that is refused is tried again once it changes.
        self._seen = seen
        if isinstance(seen, str):
            self._refuse(seen)
            return
        try:
            self.current = AccessPolicy.parse(seen, str(self._path))
        except SettingsError as problem:
            self._refuse(str(problem))
        except Exception as problem:  # whatever a file holds, the policy in force stays
            self._refuse(f"loading {self._path} failed: {type(problem).__name__}")
        else:
            _LOG.info("took over the access policy %s", self._path)

    def _refuse(self, reason: str) -> None:
        self._refusals.inc()
        _LOG.error("the access policy in use stays: %s", reason)
