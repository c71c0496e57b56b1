"""Average daily volume, against its definition and wherever the bars begin."""

import numpy as np
import pytest

from tradewind.market import Bars, load_sample
from tradewind.market.volume import average_daily_volume, average_daily_volumes

WEEK_NS = 7 * 86_400 * 10**9


@pytest.fixture(scope="module")
def bars() -> Bars:
    # The sample has gaps here, so that a week is not always the same number of bars.
    return load_sample("LTC").slice(0, 3_000)


def test_average_daily_volumes_with_real_bars_follow_the_definition(bars: Bars) -> None:
    assert bars.gaps()
    volumes = average_daily_volumes(bars)
    for last in range(0, len(bars), 97):
        since = bars.close_times_ns[last] - WEEK_NS
        if since < bars.timestamps_ns[0]:
            assert np.isnan(volumes[last])
        else:
            week = (bars.timestamps_ns >= since) & (np.arange(len(bars)) <= last)
            assert volumes[last] == pytest.approx(bars.volume[week].sum() / 7.0, rel=1e-12)


@pytest.mark.parametrize("start", [1, 500, 1_111])
def test_average_daily_volumes_with_another_first_bar_give_the_same_bits(
    bars: Bars, start: int
) -> None:
    whole, later = (
        average_daily_volumes(bars)[start:],
        average_daily_volumes(bars.slice(start, 3_000)),
    )
    known = ~np.isnan(later)
    assert known.sum() > 1_000
    assert later[known].tobytes() == whole[known].tobytes()


def test_average_daily_volume_bar_by_bar_gives_the_bits_of_all_at_once(bars: Bars) -> None:
    at_once = average_daily_volumes(bars)
    timestamps, volumes = bars.timestamps_ns.copy(), bars.volume.copy()
    for last in range(400, 3_000, 131):
        seen = slice(0, last + 1)
        value = average_daily_volume(
            timestamps[seen],
            volumes[seen],
            last,
            bars.interval_ns,
            *bars.market.session_hours_ns,
        )
        assert value == at_once[last]
