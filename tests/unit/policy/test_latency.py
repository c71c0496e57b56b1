import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.policy import LatencyHistogram

LATENCIES = st.lists(st.integers(0, 2**40 - 1) | st.integers(0, 10**6), min_size=1, max_size=300)


def filled(values: list[int], slo_ns: int = 100_000) -> LatencyHistogram:
    histogram = LatencyHistogram(slo_ns)
    for value in values:
        histogram.record(value)
    return histogram


@given(LATENCIES, st.sampled_from([0.1, 50.0, 90.0, 99.0, 99.9, 100.0]))
@settings(max_examples=60)
def test_percentile_with_any_values_is_within_the_stated_error(
    values: list[int], percent: float
) -> None:
    exact = float(np.percentile(values, percent, method="inverted_cdf"))
    found = filled(values).snapshot().percentile_ns(percent)
    assert found == pytest.approx(exact, rel=0.004, abs=0.0 if exact < 256 else None)


@given(LATENCIES)
@settings(max_examples=60)
def test_counts_with_any_values_are_exact(values: list[int]) -> None:
    snapshot = filled(values).snapshot()
    assert snapshot.count == len(values)
    assert snapshot.total_ns == sum(values)
    assert snapshot.max_ns == max(values)
    assert snapshot.over_slo_count == sum(value > 100_000 for value in values)


def test_value_on_the_objective_is_no_violation() -> None:
    assert filled([99_999, 100_000, 100_001]).snapshot().over_slo_count == 1


def test_value_beyond_the_range_keeps_its_maximum() -> None:
    snapshot = filled([2**45]).snapshot()
    assert (snapshot.count, snapshot.max_ns) == (1, 2**45)
    assert snapshot.percentile_ns(50.0) >= 2**39


def test_snapshot_with_no_value_says_so() -> None:
    snapshot = LatencyHistogram(1).snapshot()
    assert snapshot.count == 0
    assert np.isnan([snapshot.mean_ns, snapshot.percentile_ns(99.0)]).all()


@given(LATENCIES, LATENCIES)
@settings(max_examples=30)
def test_merge_of_two_is_as_if_recorded_in_one(first: list[int], second: list[int]) -> None:
    merged = filled(first).snapshot().merge(filled(second).snapshot())
    together = filled(first + second).snapshot()
    np.testing.assert_array_equal(merged.counts, together.counts)
    assert merged.total_ns == together.total_ns
    assert merged.max_ns == together.max_ns
    assert merged.over_slo_count == together.over_slo_count


def test_merge_with_another_objective_is_refused() -> None:
    with pytest.raises(ValueError, match="objectives differ: 1 and 2 ns"):
        LatencyHistogram(1).snapshot().merge(LatencyHistogram(2).snapshot())


def test_count_up_to_a_limit_counts_what_is_clearly_on_either_side() -> None:
    snapshot = filled([10_000] * 3 + [50_000] * 5).snapshot()
    assert [snapshot.count_up_to(limit) for limit in (9_000, 11_000, 51_000)] == [0, 3, 8]


def test_record_from_many_threads_loses_nothing() -> None:
    histogram = LatencyHistogram(100_000)
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for value in range(20_000):
            histogram.record(value)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    snapshot = histogram.snapshot()
    assert snapshot.count == 8 * 20_000
    assert snapshot.total_ns == 8 * sum(range(20_000))


def test_values_of_ended_threads_are_kept_in_bounded_memory() -> None:
    histogram = LatencyHistogram(100_000)
    for _ in range(50):
        thread = threading.Thread(target=histogram.record, args=(5_000,))
        thread.start()
        thread.join()
    assert histogram.snapshot().count == 50
    assert len(histogram._shards) == 1
