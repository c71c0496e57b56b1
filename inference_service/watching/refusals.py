"""Which versions were refused, and what has to change before another try is worth it."""

import logging
import time
from collections.abc import Collection
from pathlib import Path

from inference_service.registry import Registry
from inference_service.telemetry import Telemetry
from inference_service.watching.fingerprint import Fingerprint, fingerprint_of
from tradewind.bundle import BundleFault, BundleStore
from tradewind.serving import QuarantinedVersion

__all__ = ["TRUST_FAULTS", "Refusals"]

_LOG = logging.getLogger(__name__)

TRUST_FAULTS = frozenset(
    {
        BundleFault.SIGNATURE_REVOKED,
        BundleFault.FRESHNESS_UNPROVED,
        BundleFault.ROLLED_BACK,
        BundleFault.WITHDRAWN,
    }
)
"""What a statement of freshness refuses, and another one may let in."""

# What its key says after its files were verified; a stolen one signs whatever is wanted.
_AS_PUBLISHED = {
    BundleFault.MEMORY_LIMIT,
    BundleFault.GOLDEN_MISMATCH,
    BundleFault.MODEL_CALLS_FAILED,
    BundleFault.MODEL_LOAD_CRASHED,
    BundleFault.MODEL_LOAD_TIMEOUT,
    BundleFault.MODEL_OUTPUT_INVALID,
    BundleFault.MODEL_TOO_LARGE,
    BundleFault.MODEL_UNLOADABLE,
}

Kept = frozenset[tuple[str, str]]


class Refusals:
    """Quarantines versions in the registry, and remembers what their files were then.

    Args:
        store: Where the files are.
        registry: What is served.
        telemetry: Where quarantines are counted.
    """

    def __init__(self, store: BundleStore, registry: Registry, telemetry: Telemetry) -> None:
        self._store = store
        self._registry = registry
        self._telemetry = telemetry
        self._refused_as: dict[tuple[str, str], tuple[Fingerprint, Kept]] = {}

    def refuse(
        self, policy: str, version: str, reason: str, detail: str, fingerprint: Fingerprint
    ) -> None:
        """Quarantines a version whose files are these."""
        refused = QuarantinedVersion(policy, version, reason, detail, time.time())
        self._registry.quarantine(refused)
        self._refused_as[policy, version] = fingerprint, self._kept()
        self._telemetry.quarantined(policy, reason)
        _LOG.error("quarantined %s/%s (%s): %s", policy, version, reason, detail)

    def is_refused(self, policy: str, version: str, fingerprint: Fingerprint | None = None) -> bool:
        """Whether it was refused as it is now, and nothing has changed that would let it in.

        A version without room in memory is worth another try when other versions are needed.
        """
        quarantined = self._registry.snapshot.quarantined.get((policy, version))
        if quarantined is None:
            return False
        refused_as, kept = self._refused_as[policy, version]
        if quarantined.reason == BundleFault.MEMORY_LIMIT and kept != self._kept():
            return False
        if fingerprint is None:
            fingerprint = fingerprint_of(self._folder(policy, version))
        return refused_as == fingerprint

    def is_quarantined(self, policy: str, version: str) -> bool:
        """Whether it was refused, as it is now or as it was."""
        return (policy, version) in self._registry.snapshot.quarantined

    def failed_as_published(self, policy: str, version: str) -> bool:
        """Whether it was refused though it is what its publisher has signed: a bad policy."""
        found = self._registry.snapshot.quarantined.get((policy, version))
        return found is not None and found.reason in _AS_PUBLISHED

    def forget_missing(self, policy: str, published: Collection[str]) -> None:
        """Forgets the versions of a policy that are in the store no more."""
        for name, version in list(self._registry.snapshot.quarantined):
            if name == policy and version not in published:
                self._registry.release(name, version)
                del self._refused_as[name, version]

    def reconsider(self) -> None:
        """Has what was refused for want of trust tried again: what is trusted has changed."""
        for key, quarantined in self._registry.snapshot.quarantined.items():
            if quarantined.reason in TRUST_FAULTS:
                self._refused_as[key] = (), self._refused_as[key][1]

    def _folder(self, policy: str, version: str) -> Path:
        return self._store.path(policy, version)

    def _kept(self) -> Kept:
        """What no other version can take the memory of."""
        snapshot = self._registry.snapshot
        return frozenset(
            (each.name, each.version) for each in snapshot.versions() if snapshot.is_needed(each)
        )
