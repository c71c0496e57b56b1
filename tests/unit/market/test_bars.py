import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.errors import MarketDataError
from tradewind.market import Bar, Bars, Gap, split_bars

MakeBars = Callable[..., Bars]

COLUMNS = ("timestamps_ns", "open", "high", "low", "close", "volume")
NAN = float("nan")


def test_bar_with_any_index_is_the_row_of_the_columns(make_bars: MakeBars) -> None:
    bars = make_bars(3)
    assert bars.bar(-1) == bars.bar(2)
    assert bars.bar(2) == Bar(
        timestamp_ns=int(bars.timestamps_ns[2]),
        open=102.0,
        high=102.0 * 1.01,
        low=102.0 * 0.99,
        close=102.0,
        volume=1.0,
    )
    with pytest.raises(IndexError):
        bars.bar(3)


def test_columns_with_the_caller_changing_his_arrays_stay_the_same(make_bars: MakeBars) -> None:
    volume = np.ones(4)
    bars = make_bars(4, volume=volume)
    volume[:] = 7.0
    assert bars.volume.tolist() == [1.0] * 4


@pytest.mark.parametrize("restore", [copy.deepcopy, lambda bars: pickle.loads(pickle.dumps(bars))])
def test_bars_restored_from_a_copy_are_equal_and_still_read_only(
    make_bars: MakeBars, restore: Callable[[Bars], Bars]
) -> None:
    bars = make_bars(5)
    restored = restore(bars)
    assert restored.digest == bars.digest
    for column in COLUMNS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(restored, column)[0] = 1


def test_slice_shares_memory_and_keeps_the_interval(make_bars: MakeBars) -> None:
    bars = make_bars(10)
    part = bars.slice(3, 4)
    assert len(part) == 1
    assert part.bar(0) == bars.bar(3)
    assert part.interval_ns == bars.interval_ns
    assert np.shares_memory(part.close, bars.close)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (2, 2), (3, 2), (0, 11)])
def test_slice_outside_the_series_is_refused(make_bars: MakeBars, start: int, stop: int) -> None:
    with pytest.raises(MarketDataError, match=r"no bars \[.*\) in a series of 10"):
        make_bars(10).slice(start, stop)


def test_gaps_with_missing_bars_are_counted_not_filled(make_bars: MakeBars) -> None:
    kept = np.array([0, 1, 2, 4, 5, 6, 10, 11])
    times = make_bars(12).timestamps_ns[kept]
    bars = make_bars(8, timestamps_ns=times)
    assert len(bars) == 8
    assert bars.interval_ns == 1_800_000_000_000
    assert bars.gaps() == (Gap(2, 3, 1), Gap(5, 6, 3))


def test_gaps_with_every_bar_there_are_none(make_bars: MakeBars) -> None:
    assert make_bars(8).gaps() == ()


@given(data=st.data(), count=st.integers(20, 60))
def test_gaps_with_random_holes_account_for_every_missing_bar(
    make_bars: MakeBars, data: st.DataObject, count: int
) -> None:
    holes = data.draw(st.sets(st.integers(1, count - 2), max_size=4))
    kept = np.array([index for index in range(count) if index not in holes])
    bars = make_bars(len(kept), timestamps_ns=make_bars(count).timestamps_ns[kept])
    assert sum(gap.missing_bar_count for gap in bars.gaps()) == len(holes)
    assert all(gap.before == gap.after + 1 for gap in bars.gaps())


def test_close_times_are_one_interval_after_the_starts(btc: Bars) -> None:
    assert (btc.close_times_ns - btc.timestamps_ns == 1_800 * 10**9).all()


def test_digest_with_anything_changed_changes(make_bars: MakeBars) -> None:
    bars = make_bars(4)
    others = [make_bars(4, symbol="OTHER"), make_bars(4, interval_ns=1), bars.slice(0, 3)]
    for column in COLUMNS:
        values = getattr(bars, column).copy()
        values[-1] = np.nextafter(values[-1], 0) if column != "timestamps_ns" else values[-1] + 1
        others.append(
            make_bars(4, **{name: getattr(bars, name) for name in COLUMNS} | {column: values})
        )
    digests = {other.digest for other in others} | {bars.digest}
    assert len(digests) == 1 + len(others)
    assert make_bars(4).digest == bars.digest


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("open", 0.0, "row 3, open: 0.0 must be a finite price"),
        ("high", NAN, "row 3, high: nan must be a finite price"),
        ("low", -1.0, "row 3, low: -1.0 must be a finite price"),
        ("close", float("inf"), "row 3, close: inf must be a finite price"),
        ("close", 1e300, r"row 3, close: 1e\+300 must be a finite price"),
        ("volume", -0.5, "row 3, volume: -0.5 must be a finite number from 0"),
        ("volume", NAN, "row 3, volume: nan must be a finite number from 0"),
        ("high", 50.0, "row 3, high: 50.0 is below the open, low or close of its bar"),
        ("high", 101.9, "row 3, high: 101.9 is below the open, low or close of its bar"),
        ("low", 102.5, "row 3, low: 102.5 is above the open or close of its bar"),
    ],
)
def test_bars_with_an_impossible_cell_are_refused_with_row_and_column(
    make_bars: MakeBars, column: str, value: float, message: str
) -> None:
    good = make_bars(5)
    values = getattr(good, column).copy()
    values[2] = value
    with pytest.raises(MarketDataError, match=message) as refused:
        make_bars(5, **{name: getattr(good, name) for name in COLUMNS} | {column: values})
    assert len(refused.value.violations) == 1


def test_bars_with_unordered_times_are_refused_with_their_rows(make_bars: MakeBars) -> None:
    times = make_bars(5).timestamps_ns.copy()
    times[2] = times[1]
    times[4] = times[0]
    with pytest.raises(MarketDataError) as refused:
        make_bars(5, timestamps_ns=times)
    assert [str(violation) for violation in refused.value.violations] == [
        "row 3, timestamp: repeats the time of the row before it",
        "row 5, timestamp: is earlier than the row before it",
    ]


def test_bars_with_a_time_too_large_to_subtract_are_refused(make_bars: MakeBars) -> None:
    with pytest.raises(MarketDataError, match="row 1, timestamp: is not from 1875 to 2064"):
        make_bars(2, timestamps_ns=np.array([-(2**63), 2**63 - 1]))


def test_bars_with_many_bad_rows_report_the_first_and_the_count(make_bars: MakeBars) -> None:
    with pytest.raises(MarketDataError, match=r"the first 20 of 300") as refused:
        make_bars(100, volume=np.full(100, -1.0), open=np.zeros(100), low=np.zeros(100))
    assert len(refused.value.violations) == 20
    assert refused.value.violations[-1].field == "row 7, open"


def test_bars_with_columns_of_different_lengths_are_refused(make_bars: MakeBars) -> None:
    with pytest.raises(MarketDataError, match=r"every column must have the shape \(3,\)"):
        make_bars(3, volume=np.ones(4))


def test_bars_with_float_timestamps_are_refused(make_bars: MakeBars) -> None:
    with pytest.raises(MarketDataError, match="must be signed integers, not float64"):
        make_bars(3, timestamps_ns=np.arange(3.0))


def test_bars_without_a_row_are_refused(make_bars: MakeBars) -> None:
    with pytest.raises(MarketDataError, match="there are no bars"):
        make_bars(0)


def test_single_bar_without_an_interval_is_refused(make_bars: MakeBars) -> None:
    with pytest.raises(MarketDataError, match="interval_ns must be positive"):
        make_bars(1)
    with pytest.raises(MarketDataError, match="interval_ns must be positive, .* not -1"):
        make_bars(5, interval_ns=-1)
    assert make_bars(1, interval_ns=60).interval_ns == 60


@given(fraction=st.floats(0.01, 0.99))
def test_split_with_any_fraction_is_chronological_and_complete(btc: Bars, fraction: float) -> None:
    train, held_out = split_bars(btc, fraction)
    assert len(train) + len(held_out) == len(btc)
    assert train.timestamps_ns[-1] < held_out.timestamps_ns[0]
    assert 0 <= len(held_out) - fraction * len(btc) < 1


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, NAN])
def test_split_with_an_impossible_fraction_is_refused(btc: Bars, fraction: float) -> None:
    with pytest.raises(MarketDataError, match="held_out_fraction must lie between 0 and 1"):
        split_bars(btc, fraction)


def test_split_of_a_single_bar_is_refused(make_bars: MakeBars) -> None:
    with pytest.raises(MarketDataError, match="cannot be split in two"):
        split_bars(make_bars(1, interval_ns=60), 0.5)
