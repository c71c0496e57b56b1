"""Which variant a call goes to: the same key always to the same one, by weight; no I/O."""

import hashlib
import math
import random
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

__all__ = ["WeightedChoice"]

_DIGEST_BYTES: Final = 8
_DROPPED_BITS: Final = 8 * _DIGEST_BYTES - 52  # 52 bits and a half are a float below 1 exactly


class WeightedChoice:
    """Chooses among weighted names by key, or at random.

    By key it is weighted rendezvous hashing (D. Thaler, C. Ravishankar, "Using name-based mappings
    to increase hit rates", IEEE/ACM Transactions on Networking 6, 1998; weighted by -log(u) / w):
    every name draws a number of its own from the key, and the least -log(u) / weight wins. When
    weights change, a key moves from one name to another only if the other's weight has grown
    beside the first one's; names that come or go move only the keys that they win or held.

    Args:
        names: What is chosen among; they decide the draws, their order does not.
        weights: Of each name, at least 0, not all 0; only their ratios count.
        salt: Another salt, another assignment of keys.
    """

    def __init__(self, names: Sequence[str], weights: Sequence[float], salt: str) -> None:
        self._draws = tuple(
            (place, 1.0 / weight, hashlib.blake2b(_prefix(salt, name), digest_size=_DIGEST_BYTES))
            for place, (name, weight) in enumerate(zip(names, weights, strict=True))
            if weight > 0.0
        )
        self._places = tuple(place for place, _, _ in self._draws)
        self._ends = tuple(accumulate(weights[place] for place in self._places))

    def by_key(self, key: str) -> int:
        """The place of the name that a key belongs to."""
        data = key.encode()
        chosen, least = -1, math.inf
        for place, scale, prefix in self._draws:
            draw = prefix.copy()
            draw.update(data)
            number = int.from_bytes(draw.digest(), "big") >> _DROPPED_BITS
            time = -math.log((number + 0.5) * 2.0**-52) * scale
            if time < least:
                chosen, least = place, time
        return chosen

    def at_random(self) -> int:
        """A place, each as often as its weight says."""
        drawn = random.random() * self._ends[-1]  # noqa: S311 - no secret
        return self._places[min(bisect(self._ends, drawn), len(self._places) - 1)]


def _prefix(salt: str, name: str) -> bytes:
    return f"{salt}\0{name}\0".encode()
