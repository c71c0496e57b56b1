"""Bounds what all loaded versions take together."""

from inference_service.registry import LoadedVersion, Registry
from tradewind.bundle import SERVED_LABEL, BundleFault
from tradewind.errors import BundleRuntimeError

__all__ = ["MemoryBound"]

_MIB = 1024 * 1024


class MemoryBound:
    """Counts the arrays of the loaded versions and makes room for those that must be there.

    A version that is served, labelled or routed is never let go for another one.

    Args:
        registry: What is loaded.
        max_mb: The bound.
    """

    def __init__(self, registry: Registry, max_mb: float) -> None:
        self._registry = registry
        self._max_bytes = max_mb * _MIB

    def has_room_for(self, size: float) -> bool:
        """Whether so many bytes fit beside everything that is loaded."""
        return self._used_bytes() + size <= self._max_bytes

    def make_room_for(self, version: LoadedVersion, label: str) -> None:
        """Lets go of versions that nothing needs, the oldest first.

        The version that bears the label now does not count any more, if it bears no other one.

        Args:
            version: What is to be served or labelled.
            label: What it is to bear; SERVED_LABEL to be served, empty for what is routed.

        Raises:
            BundleRuntimeError: Even then it does not fit; nothing is let go.
        """
        needed = version.memory_bytes - self._freed_by_moving(version.name, label)
        least = self._used_bytes() - sum(each.memory_bytes for each in self._surplus())
        if least + needed > self._max_bytes:
            raise BundleRuntimeError(
                f"version {version.version} of policy {version.name!r} needs "
                f"{version.memory_bytes / _MIB:.3g} MB, but max_loaded_mb is "
                f"{self._max_bytes / _MIB:g}, and what is served, labelled or routed takes "
                f"{least / _MIB:.3g} MB",
                reason=BundleFault.MEMORY_LIMIT,
            )
        self._shrink_to(self._max_bytes - needed)

    def shrink(self) -> None:
        """Lets go of versions that nothing needs until the bound is kept."""
        self._shrink_to(self._max_bytes)

    def _shrink_to(self, size: float) -> None:
        for each in self._surplus():
            if self._used_bytes() <= size:
                return
            kept = set(self._registry.snapshot.loaded[each.name]) - {each.version}
            self._registry.retain(each.name, kept)

    def _freed_by_moving(self, policy: str, label: str) -> int:
        snapshot = self._registry.snapshot
        if label == SERVED_LABEL:
            bearer = snapshot.served.get(policy)
        else:
            bearer = snapshot.labelled.get(policy, {}).get(label)
        if bearer is None or snapshot.labels_of(bearer) != [label] or snapshot.is_routed(bearer):
            return 0
        return bearer.memory_bytes

    def _surplus(self) -> list[LoadedVersion]:
        """What nothing needs, the oldest first."""
        snapshot = self._registry.snapshot
        surplus = [version for version in snapshot.versions() if not snapshot.is_needed(version)]
        return sorted(surplus, key=lambda version: version.loaded_at)

    def _used_bytes(self) -> int:
        return sum(version.memory_bytes for version in self._registry.snapshot.versions())
