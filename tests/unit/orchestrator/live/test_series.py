"""Curves of any length in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.live.series import DownsampledSeries, highest, latest, lowest

MERGES = {"last": latest, "low": lowest, "high": highest}


@given(
    st.lists(st.none() | st.floats(-1e9, 1e9), min_size=1, max_size=200),
    st.integers(1, 8).map(lambda half: 2 * half),
)
def test_series_of_any_length_keeps_its_end_its_extremes_and_its_bound(
    values: list[float | None], capacity: int
) -> None:
    series = DownsampledSeries(MERGES, capacity)

    for value in values:
        series.append((value, value, value))

    assert 1 <= len(series) <= capacity
    assert len(series) == -(-len(values) // series.stride)
    assert series.columns["last"][-1] == values[-1]
    for point in range(len(series)):
        meant = values[point * series.stride : (point + 1) * series.stride]
        present = [value for value in meant if value is not None]
        assert series.columns["last"][point] == meant[-1]
        assert series.columns["low"][point] == min(present, default=None)
        assert series.columns["high"][point] == max(present, default=None)


def test_points_since_a_mark_of_another_stride_are_all_of_them() -> None:
    series = DownsampledSeries(MERGES, 4)
    for value in range(4):
        series.append((value, value, value))
    stride, point = series.stride, len(series) - 1
    assert series.since(stride, point)[1]["last"] == [3]

    series.append((4, 4, 4))

    assert series.stride == 2 * stride
    assert series.since(stride, point) == (0, series.columns)
