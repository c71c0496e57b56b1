"""Latency percentiles of many threads, without a lock on the path that records."""

import threading
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["LatencyHistogram", "LatencySnapshot"]

# Log-linear buckets as in HdrHistogram (G. Tene): exact below 2^8 ns, then 128 buckets for each
# doubling. A bucket is at most 1/128 as wide as the values in it, and its midpoint stands for it.
_SUB_BUCKET_BITS: Final = 8
_HALF_BITS: Final = _SUB_BUCKET_BITS - 1
_MAX_EXPONENT: Final = 32  # up to 2^40 ns = 18 minutes; what is longer counts in the last bucket
_BUCKET_COUNT: Final = (_MAX_EXPONENT << _HALF_BITS) + (1 << _SUB_BUCKET_BITS)


def _bucket_starts() -> NDArray[np.float64]:
    """Smallest value of each bucket, in nanoseconds, and the end of the last one."""
    index = np.arange(_BUCKET_COUNT + 1)
    exponent = np.maximum((index >> _HALF_BITS) - 1, 0)
    starts: NDArray[np.float64] = np.ldexp(index - (exponent << _HALF_BITS), exponent)
    return starts


@dataclass(frozen=True, eq=False)
class LatencySnapshot:
    """What a histogram held at one moment.

    Attributes:
        slo_ns: The service-level objective that `over_slo_count` counts against.
        counts: Values in each bucket.
        over_slo_count: Values above the objective; exact.
        total_ns: Sum of all values; exact.
        max_ns: Largest value; exact.
    """

    slo_ns: int
    counts: NDArray[np.int64]
    over_slo_count: int
    total_ns: int
    max_ns: int

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def mean_ns(self) -> float:
        """Arithmetic mean; NaN when there is no value."""
        return self.total_ns / self.count if self.count else float("nan")

    def percentile_ns(self, percent: float) -> float:
        """Smallest value that at least `percent` percent of the values do not exceed.

        Exact below 256 ns; above, within 0.4 % of the true value.

        Args:
            percent: Above 0 and at most 100.

        Returns:
            Nanoseconds; NaN when there is no value.
        """
        if not self.count:
            return float("nan")
        cumulative = np.cumsum(self.counts)
        rank = max(1, int(np.ceil(percent / 100.0 * self.count)))
        bucket = int(np.searchsorted(cumulative, rank))
        starts = _bucket_starts()
        midpoint = (starts[bucket] + starts[bucket + 1] - 1.0) / 2.0
        return min(float(midpoint), float(self.max_ns))

    def count_up_to(self, limit_ns: int) -> int:
        """Number of values up to a limit; those within 0.8 % of it may count on either side."""
        return int(self.counts[_bucket_starts()[:-1] <= limit_ns].sum())

    def merge(self, other: Self) -> Self:
        """The values of both, such as those of two worker processes.

        Raises:
            ValueError: Their objectives differ.
        """
        if self.slo_ns != other.slo_ns:
            raise ValueError(f"objectives differ: {self.slo_ns} and {other.slo_ns} ns")
        return type(self)(
            self.slo_ns,
            self.counts + other.counts,
            self.over_slo_count + other.over_slo_count,
            self.total_ns + other.total_ns,
            max(self.max_ns, other.max_ns),
        )


class _Shard:
    """The values that one thread recorded; no other thread writes them."""

    __slots__ = ("counts", "max_ns", "over_slo_count", "owner", "total_ns")

    def __init__(self) -> None:
        self.owner = threading.current_thread()
        self.counts = [0] * _BUCKET_COUNT
        self.over_slo_count = 0
        self.total_ns = 0
        self.max_ns = 0


class LatencyHistogram:
    """Counts latencies in nanoseconds, from any number of threads.

    Every thread writes a shard of its own, so recording takes no lock and loses nothing; a reader
    adds the shards up and may miss a value that is being recorded at that moment. The shard of a
    thread that has ended is folded into the rest when another thread's first value comes.

    Args:
        slo_ns: The service-level objective; values above it are counted exactly.
    """

    def __init__(self, slo_ns: int) -> None:
        self.slo_ns = slo_ns
        self._local = threading.local()
        self._lock = threading.Lock()
        self._shards: list[_Shard] = []
        self._ended = LatencySnapshot(slo_ns, np.zeros(_BUCKET_COUNT, np.int64), 0, 0, 0)

    def record(self, value_ns: int) -> None:
        """Counts one value of at least 0."""
        try:
            shard: _Shard = self._local.shard
        except AttributeError:
            shard = self._add_shard()
        exponent = value_ns.bit_length() - _SUB_BUCKET_BITS
        if exponent <= 0:
            bucket = value_ns
        elif exponent <= _MAX_EXPONENT:
            bucket = (exponent << _HALF_BITS) + (value_ns >> exponent)
        else:
            bucket = _BUCKET_COUNT - 1
        shard.counts[bucket] += 1
        shard.total_ns += value_ns
        if value_ns > shard.max_ns:
            shard.max_ns = value_ns
        if value_ns > self.slo_ns:
            shard.over_slo_count += 1

    def snapshot(self) -> LatencySnapshot:
        """The values recorded so far."""
        with self._lock:
            snapshot = self._ended
            for shard in self._shards:
                snapshot = snapshot.merge(self._read(shard))
            return snapshot

    def _add_shard(self) -> _Shard:
        shard = _Shard()
        with self._lock:
            alive = []
            for known in self._shards:
                if known.owner.is_alive():
                    alive.append(known)
                else:
                    self._ended = self._ended.merge(self._read(known))
            self._shards = [*alive, shard]
        self._local.shard = shard
        return shard

    def _read(self, shard: _Shard) -> LatencySnapshot:
        counts = np.array(shard.counts, dtype=np.int64)
        return LatencySnapshot(
            self.slo_ns, counts, shard.over_slo_count, shard.total_ns, shard.max_ns
        )
