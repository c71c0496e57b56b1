"""Follows the bundle store: loads what is new, serves it once it is proved, refuses what is bad."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from inference_service.registry import LoadedVersion, QuarantinedVersion, Registry
from inference_service.telemetry import Telemetry
from tradewind.bundle import BundleStore, BundleVersion
from tradewind.errors import (
    BundleError,
    NotFoundError,
    StorageError,
    TradewindError,
    UnavailableError,
)

__all__ = ["StoreWatcher"]

_LOG = logging.getLogger(__name__)

Load = Callable[[Path], LoadedVersion]
Fingerprint = tuple[tuple[str, int, int, int, int], ...]


class StoreWatcher:
    """Polls the store, which works on any file system, and acts on what it finds.

    Of each policy the latest version serves that loads and proves itself, or the pinned one. A
    version that fails is quarantined and tried again only when its files change. What serves goes
    on serving whatever happens to the store. No failure ends the polling.

    Args:
        store: The bundle store.
        registry: What is served; nothing else writes it.
        load: Verifies and loads the bundle of a folder.
        pinned: Version to serve by policy.
        telemetry: Where loads and quarantines are counted.
        on_serving: Called whenever another version has begun to serve.
    """

    def __init__(
        self,
        store: BundleStore,
        registry: Registry,
        load: Load,
        pinned: Mapping[str, str],
        telemetry: Telemetry,
        on_serving: Callable[[], None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._load = load
        self._pinned = pinned
        self._telemetry = telemetry
        self._on_serving = on_serving
        self._troubles: dict[str, str] = {}

    def follow(self, poll_s: float, stopping: threading.Event) -> None:
        """Scans until told to stop.

        Args:
            poll_s: Seconds between two scans.
            stopping: Ends the loop.
        """
        while not stopping.wait(poll_s):
            self.scan()

    def scan(self) -> None:
        """Looks at the whole store once."""
        try:
            policies = self._store.policies()
        except StorageError as problem:
            self._report_trouble("", problem)
            return
        self._end_trouble("")
        for policy in policies:
            try:
                self._scan_policy(policy)
            except Exception as problem:  # whatever one policy holds, the others are followed
                self._report_trouble(policy, problem)
            else:
                self._end_trouble(policy)

    def _scan_policy(self, policy: str) -> None:
        versions = self._store.versions(policy)
        for name, version in list(self._registry.snapshot.quarantined):
            if name == policy and version not in versions:
                self._registry.release(name, version)
        for version in self._candidates(policy, versions):
            folder = self._store.path(policy, version)
            # Taken before loading: files that change meanwhile make another fingerprint.
            fingerprint = _fingerprint(folder)
            quarantined = self._registry.snapshot.quarantined.get((policy, version))
            if quarantined is not None and quarantined.fingerprint == fingerprint:
                continue
            if self._try_to_serve(policy, version, folder, fingerprint):
                return

    def _candidates(self, policy: str, versions: tuple[str, ...]) -> list[str]:
        """Versions that should rather serve than the one that does, the best first."""
        served = self._registry.snapshot.served.get(policy)
        if policy in self._pinned:
            pinned = self._pinned[policy]
            done = served is not None and served.version == pinned
            return [pinned] if pinned in versions and not done else []
        newest_first = versions[::-1]
        if served is None:
            return list(newest_first)
        serving = BundleVersion.parse(served.version)
        return [version for version in newest_first if BundleVersion.parse(version) > serving]

    def _try_to_serve(
        self, policy: str, version: str, folder: Path, fingerprint: Fingerprint
    ) -> bool:
        started = time.perf_counter()
        try:
            loaded = self._load(folder)
        except BundleError as problem:
            reason, detail = problem.reason, str(problem)
        except (StorageError, NotFoundError, UnavailableError) as problem:
            # Says nothing about the bundle: tried again at the next scan.
            self._report_trouble(f"{policy}/{version}", problem)
            return False
        except Exception as problem:
            _LOG.exception("loading %s/%s failed", policy, version)
            reason, detail = "LOAD_FAILED", f"loading failed: {type(problem).__name__}"
        else:
            self._end_trouble(f"{policy}/{version}")
            self._registry.serve(loaded)
            self._on_serving()
            elapsed = time.perf_counter() - started
            self._telemetry.loaded(policy, elapsed)
            _LOG.info("serving %s/%s, loaded in %.0f ms", policy, version, elapsed * 1e3)
            if loaded.policy.runtime_reason:
                _LOG.warning(
                    "%s/%s is executed by %s, which is slower: %s",
                    policy,
                    version,
                    loaded.policy.runtime,
                    loaded.policy.runtime_reason,
                )
            return True
        self._registry.quarantine(
            QuarantinedVersion(policy, version, reason, detail, time.time(), fingerprint)
        )
        self._telemetry.quarantined(policy, reason)
        _LOG.error("quarantined %s/%s (%s): %s", policy, version, reason, detail)
        return False

    def _report_trouble(self, where: str, problem: Exception) -> None:
        """Counts every failure to read the store, and logs it once until it changes or ends."""
        self._telemetry.store_failed()
        if self._troubles.get(where) != str(problem):
            self._troubles[where] = str(problem)
            defect = None if isinstance(problem, TradewindError) else problem
            _LOG.warning(
                "store not readable, what serves goes on serving: %s", problem, exc_info=defect
            )

    def _end_trouble(self, where: str) -> None:
        if self._troubles.pop(where, None) is not None:
            _LOG.info("store readable again: %s", where or self._store.root)


def _fingerprint(folder: Path) -> Fingerprint:
    """What changes when any file of the folder is written, replaced, added or removed."""
    try:
        with os.scandir(folder) as entries:
            states = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return ()
    except OSError as problem:
        raise StorageError(f"cannot list {folder}: {problem}") from problem
    return tuple(
        sorted((name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in states)
    )
