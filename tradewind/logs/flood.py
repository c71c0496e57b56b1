"""Keeps a flood of broken calls from filling the disk with lines that all say the same."""

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

__all__ = ["FloodFilter", "RateLimit"]

_MAX_KEYS = 1_024


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float
    suppressed: int = 0


class RateLimit:
    """A token bucket for each key; threads may share it.

    Args:
        per_s: Tokens a second, for each key.
        burst: Most tokens of a key.
        clock: Seconds that never go back.
    """

    def __init__(
        self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: dict[Hashable, _Bucket] = {}
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> int | None:
        """Takes a token.

        Returns:
            How many were refused since the last one was given; None when this one is refused.
        """
        with self._lock:
            now = self._clock()
            bucket = self._buckets.get(key)
            if bucket is None:
                if len(self._buckets) >= _MAX_KEYS:  # all that are new from here on share one
                    key = None
                bucket = self._buckets.setdefault(key, _Bucket(self._burst, now))
            gained = (now - bucket.filled_at) * self._per_s
            bucket.tokens = min(self._burst, bucket.tokens + gained)
            bucket.filled_at = now
            if bucket.tokens < 1.0:
                bucket.suppressed += 1
                return None
            bucket.tokens -= 1.0
            suppressed, bucket.suppressed = bucket.suppressed, 0
            return suppressed


class FloodFilter(logging.Filter):
    """Limits the records that say so by a `flood_key`, and those of gRPC by where they come from.

    A record that passes says in its field `suppressed` how many like it were left out before.
    """

    def __init__(self, limit: RateLimit) -> None:
        super().__init__()
        self._limit = limit

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        key: Hashable = getattr(record, "flood_key", None)
        if key is None:
            if not record.name.startswith("grpc"):
                return True
            key = (record.name, record.lineno)
        suppressed = self._limit.take(key)
        if suppressed:
            record.fields = {**getattr(record, "fields", {}), "suppressed": suppressed}
        return suppressed is not None
