"""How long the last ticks took, in percentiles."""

from typing import Final

import numpy as np

__all__ = ["RollingLatency"]

_PERCENTILES: Final = (50.0, 99.0, 99.9)


class RollingLatency:
    """Times of one kind: percentiles of the latest, the count and the largest of all.

    Args:
        limit_us: What none should exceed, in microseconds; None for no such limit.
        window: How many of the latest the percentiles are of.
    """

    def __init__(self, limit_us: float | None = None, window: int = 2_000) -> None:
        self._times_us = np.zeros(window)
        self._limit_us = limit_us
        self._largest_us = 0.0
        self._over_count = 0
        self.count = 0

    def add(self, time_ns: int) -> None:
        """Takes in a time in nanoseconds."""
        time_us = time_ns / 1e3
        self._times_us[self.count % len(self._times_us)] = time_us
        self.count += 1
        self._largest_us = max(self._largest_us, time_us)
        if self._limit_us is not None and time_us > self._limit_us:
            self._over_count += 1

    def summary(self) -> dict[str, float | int | None]:
        """For the page; times are None before there is one."""
        times_us = self._times_us[: self.count]
        found = np.percentile(times_us, _PERCENTILES).tolist() if self.count else [None] * 3
        return {
            "count": self.count,
            **{f"p{rank:g}_us": value for rank, value in zip(_PERCENTILES, found, strict=True)},
            "max_us": self._largest_us if self.count else None,
            "limit_us": self._limit_us,
            "over_count": None if self._limit_us is None else self._over_count,
        }
