"""Loads that take long go on beside the others, so that no policy waits for another one's."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from inference_service.registry import LoadedVersion

__all__ = ["BackgroundLoads", "StillLoadingError"]

_LOOK_S = 0.05
_LEAST_PATIENCE_S = 1.0

Load = Callable[[Path, Callable[[], None]], LoadedVersion]
"""Loads a folder, and says when it has begun: before that, a process may have to start first."""


class StillLoadingError(Exception):
    """A load goes on; whoever asks for the same folder again gets what has become of it."""


@dataclass(eq=False)
class _Running:
    version: Future[LoadedVersion] = field(default_factory=Future)
    begun: threading.Event = field(default_factory=threading.Event)


class BackgroundLoads:
    """Loads each folder on a thread of its own, and waits for it for a while.

    Args:
        load: Loads a folder.
        patience_s: How long a load that has begun is waited for. What one has waited in vain, those
            after it do not wait again.
        most: Loads under way at once; each takes memory and a share of a core.

    Attributes:
        patience_s: As given; may be changed.
    """

    def __init__(self, load: Load, patience_s: float, most: int = 8) -> None:
        self._load = load
        self.patience_s = patience_s
        self._most = most
        self._running: dict[Path, _Running] = {}

    def __call__(self, folder: Path) -> LoadedVersion:
        """Loads a folder; only one thread at a time asks.

        Raises:
            StillLoadingError: It, or too many others, take longer; ask again.
        """
        running = self._running.get(folder)
        if running is None:
            running = self._begin(folder)
            while not running.version.done() and not running.begun.wait(_LOOK_S):
                pass
            self._wait(running)
        if not running.version.done():
            raise StillLoadingError(f"{folder} takes long to load")
        del self._running[folder]
        return running.version.result()

    def _wait(self, running: _Running) -> None:
        done = threading.Event()
        running.version.add_done_callback(lambda _: done.set())
        if not done.wait(self.patience_s):
            self.patience_s = min(self.patience_s, _LEAST_PATIENCE_S)

    def _begin(self, folder: Path) -> _Running:
        if len(self._running) >= self._most:
            # What ended and was not asked for again: its folder is gone.
            self._running = {
                each: load for each, load in self._running.items() if not load.version.done()
            }
        if len(self._running) >= self._most:
            raise StillLoadingError(f"{len(self._running)} other loads take long")
        running = self._running[folder] = _Running()

        def work() -> None:
            try:
                running.version.set_result(self._load(folder, running.begun.set))
            except BaseException as problem:  # whoever asks next gets it
                running.version.set_exception(problem)

        threading.Thread(target=work, name=f"load {folder.parent.name}", daemon=True).start()
        return running
