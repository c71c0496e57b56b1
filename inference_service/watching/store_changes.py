"""Which policies of a store have changed since they were last looked at closely."""

import time
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["StoreChanges"]

# A file system may give two changes the same time, at most as far apart as this: FAT counts in
# steps of two seconds.
_SETTLE_S: Final = 2.0


class StoreChanges:
    """Remembers the state of each policy's folder, and tells those that want another close look.

    One whose state is as it was is left alone, once it has been so for a while: a change that
    comes right after a look may leave the time of the folder as that look found it.

    Args:
        settle_s: For how long a folder is looked at again after it has changed.
    """

    def __init__(self, settle_s: float = _SETTLE_S) -> None:
        self._settle_s = settle_s
        self._seen: dict[str, tuple[object, float]] = {}
        self._again: frozenset[str] = frozenset()

    def due(self, states: Mapping[str, object]) -> list[str]:
        """The policies to look at, in the order given.

        Args:
            states: What changes when a policy's folder does, by policy.
        """
        now = time.monotonic()
        found = []
        for policy, state in states.items():
            before = self._seen.get(policy)
            if before is None or before[0] != state:
                self._seen[policy] = (state, now)
            elif now - before[1] >= self._settle_s and policy not in self._again:
                continue
            found.append(policy)
        for gone in self._seen.keys() - states.keys():
            del self._seen[gone]
        return found

    def look_again(self, policies: Iterable[str]) -> None:
        """Has policies looked at next time whether or not their folders change.

        Args:
            policies: All of them; those that were named before are not kept.
        """
        self._again = frozenset(policies)
