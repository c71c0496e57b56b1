"""Follows the bundle store: loads what is new, serves it once it is proved, refuses what is bad."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from inference_service.loading.background import StillLoadingError
from inference_service.registry import LoadedVersion, Registry, Snapshot
from inference_service.telemetry import Telemetry
from inference_service.watching.fingerprint import Fingerprint, fingerprint_of
from inference_service.watching.memory import MemoryBound
from inference_service.watching.refusals import Refusals
from inference_service.watching.store_changes import StoreChanges
from inference_service.watching.troubles import Troubles
from inference_service.watching.trust import StoreTrust
from inference_service.watching.version_rule import VersionRule
from tradewind.bundle import SERVED_LABEL, BundleFault, BundleStore
from tradewind.errors import (
    BundleError,
    NotFoundError,
    StorageError,
    UnavailableError,
    VersionNotFoundError,
)

__all__ = ["StoreWatcher"]

_LOG = logging.getLogger(__name__)
_IDLE_SHARE: Final = 0.01

Load = Callable[[Path], LoadedVersion]


class StoreWatcher:
    """Polls the store, which works on any file system, and acts on what it finds.

    Of each policy the latest version serves that loads and proves itself, or the pinned one; then
    come those that bear a label or are routed, and those that the policy's rule keeps. A version
    that fails is quarantined and tried again only when its files change; one without room in memory
    also when other versions are served, labelled or routed. What serves goes on serving whatever
    happens to the store, and a label stays where it is until its new version is loaded. No failure
    ends the polling.

    Args:
        store: The bundle store.
        registry: What is served; nothing else writes it.
        load: Verifies and loads the bundle of a folder.
        rule_of: Gives the rule of a policy.
        memory: Bounds what is loaded.
        trust: Says what of the store is believed.
        telemetry: Where loads and quarantines are counted.
        on_changed: Called with a policy whenever another version of it has begun to serve, or one
            has been taken away.
        routed: Gives the versions of a policy that the routing names.
        settle_s: For how long a policy is looked at closely after its folder has changed.
    """

    def __init__(
        self,
        store: BundleStore,
        registry: Registry,
        load: Load,
        rule_of: Callable[[str], VersionRule],
        memory: MemoryBound,
        trust: StoreTrust,
        telemetry: Telemetry,
        on_changed: Callable[[str], None],
        routed: Callable[[str], Collection[str]],
        settle_s: float = 2.0,
    ) -> None:
        self._store = store
        self._registry = registry
        self._load = load
        self._rule_of = rule_of
        self._memory = memory
        self._trust = trust
        self._telemetry = telemetry
        self._on_changed = on_changed
        self._routed = routed
        self._changes = StoreChanges(settle_s)
        self._scanned_at: Snapshot | None = None
        self._routed_at: dict[str, Collection[str]] = {}
        self._passed_over: dict[str, str] = {}
        self._troubles = Troubles(telemetry)
        self._sizes: dict[tuple[str, str], int] = {}
        self._refusals = Refusals(store, registry, telemetry)
        self._begun: dict[tuple[str, str], Fingerprint] = {}

    def follow(self, poll_s: float, stopping: threading.Event) -> None:
        """Scans until told to stop.

        Args:
            poll_s: Seconds between two scans; more where looking at a store that does not change
                would take more than a hundredth of a core.
            stopping: Ends the loop.
        """
        while not stopping.is_set():
            started = time.perf_counter()
            found = self.scan()
            taken_s = time.perf_counter() - started
            stopping.wait(poll_s if found else max(poll_s, taken_s / _IDLE_SHARE))

    def scan(self) -> bool:
        """Looks at the store, and closely at each policy whose folder is not as it was.

        At all of them when anything else has changed since the last time: the routing, or what is
        loaded, which decides on what there is room for.

        Returns:
            Whether any policy was looked at closely.
        """
        is_trusted_anew = self._look_at_trust()
        self._quarantine_failed()
        before = self._registry.snapshot
        try:
            states = self._store.policy_states()
        except StorageError as problem:
            self._troubles.report(str(self._store.root), problem)
            self._withdraw_untrusted()
            return False
        self._troubles.end(str(self._store.root))
        self._troubles.policies.clear()
        routed = {policy: versions for policy in states if (versions := self._routed(policy))}
        due = self._changes.due(states)
        if is_trusted_anew or before is not self._scanned_at or routed != self._routed_at:
            due = list(states)
        self._scanned_at, self._routed_at = before, routed
        if due:
            self._say_what_is_passed_over(due)
        self._scan_closely(due)
        self._withdraw_untrusted()
        self._changes.look_again(policy for policy in due if self._is_unsettled(policy))
        return bool(due)

    def _look_at_trust(self) -> bool:
        changed = self._trust.scan()
        if changed:
            self._refusals.reconsider()
        return changed

    def _withdraw_untrusted(self) -> None:
        """Takes away what is believed no more, once another version could take its place."""
        for loaded in list(self._registry.snapshot.versions()):
            if self._trust.objection(loaded) is not None:
                self._registry.withdraw(loaded)
                self._on_changed(loaded.name)
                _LOG.error("%s/%s answers no more", loaded.name, loaded.version)

    def _scan_closely(self, policies: Sequence[str]) -> None:
        for policy in policies:
            self._guard(policy, self._scan_best, policy)
        for policy in policies:
            if policy in self._registry.snapshot.served:
                self._guard(f"labels of {policy}", self._scan_labels, policy)
                self._guard(f"routing of {policy}", self._scan_routed, policy)
                self._guard(f"{policy} beside what serves", self._scan_beside, policy)

    def _is_unsettled(self, policy: str) -> bool:
        """Whether a change may be to come that does not show in the policy's own folder."""
        return (
            policy in self._troubles.policies
            or any(name == policy for name, _ in self._begun)
            or any(name == policy for name, _ in self._registry.snapshot.quarantined)
            or self._store.has_unfinished(policy)
        )

    def _say_what_is_passed_over(self, policies: Sequence[str]) -> None:
        try:
            causes = self._store.passed_over(policies)
        except StorageError as problem:
            self._troubles.report("what is passed over", problem)
            return
        for path, cause in causes.items():
            if self._passed_over.get(path) != cause:
                _LOG.warning("%s is not served: it is %s", self._store.root / path, cause)
        self._passed_over = causes

    def scan_served(self) -> tuple[str, ...]:
        """Looks for versions that should serve, and for no others.

        Returns:
            The policies in the store; none when it cannot be listed.
        """
        self._look_at_trust()
        try:
            policies = self._store.policies()
        except StorageError as problem:
            self._troubles.report(str(self._store.root), problem)
            return ()
        self._troubles.end(str(self._store.root))
        for policy in policies:
            self._guard(policy, self._scan_best, policy)
        return policies

    def _guard(self, where: str, scan: Callable[[str], None], policy: str) -> None:
        try:
            scan(policy)
        except Exception as problem:  # whatever one policy holds, the others are followed
            self._troubles.report(where, problem, policy)
        else:
            self._troubles.end(where)

    def _scan_best(self, policy: str) -> None:
        published = self._store.versions(policy)
        self._refusals.forget_missing(policy, published)
        for name, version in list(self._begun):
            if name == policy and version not in published:
                del self._begun[name, version]
        rule = self._rule_of(policy)
        if rule.pinned and rule.pinned not in published:
            raise VersionNotFoundError(
                f"version {rule.pinned}, to which policy {policy!r} is pinned, is not in the store"
            )
        served = self._registry.snapshot.served.get(policy)
        # One that was quarantined while it served gives way to any other good one.
        failed = served is not None and self._refusals.is_quarantined(policy, served.version)
        serving = served.version if served is not None and not failed else ""
        for version in rule.candidates(published, serving):
            if not rule.pinned:
                self._trust.check_newest(policy, [version, *self._proved(policy, published)])
            if self._try_to_serve(policy, version):
                return

    def _proved(self, policy: str, published: Sequence[str]) -> list[str]:
        """Versions that were found to be as they were published, good policies or not."""
        loaded = self._registry.snapshot.loaded.get(policy, {})
        return [
            each
            for each in published
            if self._refusals.failed_as_published(policy, each)
            or (each in loaded and not self._refusals.is_quarantined(policy, each))
        ]

    def _quarantine_failed(self) -> None:
        """Quarantines loaded versions that cannot be executed, or are believed no more."""
        for loaded in self._registry.snapshot.versions():
            name, version = loaded.name, loaded.version
            reason, detail = str(BundleFault.MODEL_CALLS_FAILED), loaded.failure()
            objection = self._trust.objection(loaded)
            if objection is not None:
                reason, detail = objection.reason, str(objection)
            if detail and not self._refusals.is_quarantined(name, version):
                with contextlib.suppress(StorageError):  # the next look comes soon
                    fingerprint = fingerprint_of(self._store.path(name, version))
                    self._refusals.refuse(name, version, reason, detail, fingerprint)

    def _scan_routed(self, policy: str) -> None:
        """Loads the versions that the routing names; before that, none of them is let go."""
        wanted = self._routed(policy)
        before = self._registry.snapshot
        self._registry.set_routed(policy, wanted)
        published = self._store.versions(policy) if wanted else ()
        for version in wanted:
            if self._find(policy, version) is None and version in published:
                self._try_to_add(policy, version, needed=True)
        if self._registry.snapshot is not before:
            self._memory.shrink()

    def _scan_beside(self, policy: str) -> None:
        """Loads what stands beside the served and the labelled versions; lets go of the rest."""
        served = self._registry.snapshot.served[policy].version
        beside = self._rule_of(policy).beside(
            self._store.versions(policy),
            served,
            lambda each: not self._refusals.is_refused(policy, each),
        )
        for version in beside:
            if self._find(policy, version) is None and self._memory.has_room_for(
                self._expected_size(policy, version)
            ):
                self._try_to_add(policy, version)
        for gone in self._registry.retain(policy, beside):
            _LOG.info("let go of %s/%s", policy, gone.version)

    def _scan_labels(self, policy: str) -> None:
        """Gives labels to the versions that are to bear them, once these are loaded."""
        wanted = {**self._store.labels(policy), **self._rule_of(policy).labels}
        published = self._store.versions(policy) if wanted else ()
        labels = self._labels(policy)
        self._set_labels(policy, {each: labels[each] for each in labels if each in wanted})
        for label, version in wanted.items():
            where = f"label {label!r} of {policy}"
            found = self._find(policy, version)
            if found is None and version in published:
                found = self._try_to_add(policy, version, label, needed=True)
            if found is not None:
                # At once: what bears no label makes room for the next that is to bear one.
                if self._set_labels(policy, {**self._labels(policy), label: version}):
                    self._memory.shrink()
                self._troubles.end(where)
                continue
            cause = "refused or not readable" if version in published else "not in the store"
            fate = f"stays at {labels[label]}" if label in labels else "is not given"
            problem = NotFoundError(f"{where} {fate}: version {version} is {cause}")
            self._troubles.report(where, problem, policy)

    def _set_labels(self, policy: str, labels: dict[str, str]) -> bool:
        """Whether they are other ones than before."""
        before = self._labels(policy)
        if labels == before:
            return False
        self._registry.set_labels(policy, labels)
        for label in sorted({*labels, *before}):
            if labels.get(label) != before.get(label):
                _LOG.info("label %s of %s: %s", label, policy, labels.get(label, "none"))
        return True

    def _labels(self, policy: str) -> dict[str, str]:
        labelled = self._registry.snapshot.labelled.get(policy, {})
        return {label: version.version for label, version in labelled.items()}

    def _try_to_serve(self, policy: str, version: str) -> bool:
        loaded = self._find(policy, version)
        if loaded is not None and self._refusals.is_refused(policy, version):
            return False
        if loaded is None:
            loaded = self._try_to_load(
                policy, version, lambda new: self._memory.make_room_for(new, SERVED_LABEL)
            )
        if loaded is None:
            return False
        self._registry.serve(loaded)
        self._memory.shrink()
        self._on_changed(policy)
        _LOG.info("serving %s/%s", policy, version)
        return True

    def _try_to_add(
        self, policy: str, version: str, label: str = "", *, needed: bool = False
    ) -> LoadedVersion | None:
        """Loads a version that is not to be served; None when it is refused or has no room."""
        loaded = self._try_to_load(
            policy,
            version,
            lambda new: self._memory.make_room_for(new, label) if needed else None,
        )
        if loaded is None:
            return None
        if not needed and not self._memory.has_room_for(loaded.memory_bytes):
            self._sizes[policy, version] = loaded.memory_bytes
            return None
        self._registry.add(loaded)
        return loaded

    def _try_to_load(
        self, policy: str, version: str, make_room: Callable[[LoadedVersion], None]
    ) -> LoadedVersion | None:
        """Loads a version unless it was refused as it is; None when it does not load."""
        folder = self._store.path(policy, version)
        # Taken before loading: files that change meanwhile make another fingerprint.
        fingerprint = self._begun.pop((policy, version), None) or fingerprint_of(folder)
        if self._refusals.is_refused(policy, version, fingerprint):
            return None
        started = time.perf_counter()
        try:
            self._trust.check(policy, version)
            loaded = self._load(folder)
            objection = self._trust.objection(loaded)
            if objection is not None:
                raise objection
            make_room(loaded)
        except StillLoadingError as problem:
            self._begun[policy, version] = fingerprint
            _LOG.debug("%s", problem)
            return None
        except BundleError as problem:
            reason, detail = problem.reason, str(problem)
        except (StorageError, NotFoundError, UnavailableError) as problem:
            # Says nothing about the bundle: tried again at the next scan.
            self._troubles.report(f"{policy}/{version}", problem, policy)
            return None
        except Exception as problem:
            _LOG.exception("loading %s/%s failed", policy, version)
            reason, detail = "LOAD_FAILED", f"loading failed: {type(problem).__name__}"
        else:
            self._troubles.end(f"{policy}/{version}")
            elapsed = time.perf_counter() - started
            self._telemetry.loaded(policy, elapsed)
            _LOG.info("loaded %s/%s in %.0f ms", policy, version, elapsed * 1e3)
            if loaded.policy.runtime_reason:
                _LOG.warning(
                    "%s/%s is executed by %s, which is slower: %s",
                    policy,
                    version,
                    loaded.policy.runtime,
                    loaded.policy.runtime_reason,
                )
            return loaded
        self._refusals.refuse(policy, version, reason, detail, fingerprint)
        return None

    def _find(self, policy: str, version: str) -> LoadedVersion | None:
        return self._registry.snapshot.loaded.get(policy, {}).get(version)

    def _expected_size(self, policy: str, version: str) -> int:
        """Bytes that a version takes once loaded; those on disk unless it was found too large."""
        known = self._sizes.get((policy, version))
        if known is not None:
            return known
        folder = self._store.path(policy, version)
        return sum(size for _, _, size, _, _ in fingerprint_of(folder))
