"""Which versions of a policy serve and which stay loaded beside them; no I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tradewind.bundle import BundleVersion

__all__ = ["VersionRule"]


@dataclass(frozen=True, slots=True)
class VersionRule:
    """What an operator has set about one policy.

    Attributes:
        pinned: Version to serve; empty for the latest good one.
        keep_all: Every good version stays loaded, not the latest ones alone.
        kept_versions: Good versions that stay loaded, the served one included.
        labels: Version by label; wins over the store's labels.
    """

    pinned: str = ""
    keep_all: bool = False
    kept_versions: int = 2
    labels: Mapping[str, str] = field(default_factory=dict)

    def candidates(self, published: Sequence[str], served: str) -> list[str]:
        """Versions that should rather serve than the one that does, the best first.

        Args:
            published: Versions in the store, oldest first.
            served: The one that serves; empty for none.
        """
        if self.pinned:
            return [self.pinned] if self.pinned != served else []
        newest_first = list(published[::-1])
        return newest_first if not served else _newer(newest_first, served)

    def beside(
        self, published: Sequence[str], served: str, is_good: Callable[[str], bool]
    ) -> list[str]:
        """Versions that stay loaded beside the served one whether or not they bear a label.

        Args:
            published: Versions in the store, oldest first.
            served: The one that serves.
            is_good: Whether a version has not been refused.

        Returns:
            The newest first. None for a pinned policy, unless it keeps all.
        """
        others = [version for version in published[::-1] if version != served]
        if self.keep_all:
            return [version for version in others if is_good(version)]
        if self.pinned:
            return []
        newer = _newer(others, served)
        older = [version for version in others if version not in newer and is_good(version)]
        return older[: self.kept_versions - 1]


def _newer(versions: Sequence[str], served: str) -> list[str]:
    serving = BundleVersion.parse(served)
    return [version for version in versions if BundleVersion.parse(version) > serving]
