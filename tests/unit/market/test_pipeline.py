import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tradewind.errors import MarketDataError, ObservationError, UnavailableError
from tradewind.market import Bar, Bars, FeaturePipeline, FeatureSpec, PositionState

MakeBars = Callable[..., Bars]

FLAT = PositionState(exposure=0.0, unrealized_return=0.0, bars_held=0)
# Short windows, so that hypothesis can try many series.
SHORT = FeatureSpec(
    return_count=3, volatility_windows=(2, 5), rsi_period=4, ema_periods=(2, 3), vwap_window=6
)

specs = st.builds(
    FeatureSpec,
    return_count=st.integers(1, 20),
    volatility_windows=st.lists(st.integers(2, 20), max_size=3, unique=True).map(tuple),
    rsi_period=st.none() | st.integers(2, 20),
    ema_periods=st.lists(st.integers(2, 8), max_size=3, unique=True).map(tuple),
    ema_depth=st.integers(1, 4),
    vwap_window=st.none() | st.integers(2, 20),
    time_of_day=st.booleans(),
    position=st.booleans(),
    scale=st.sampled_from([1.0, 100.0]),
)
positions = st.builds(
    PositionState,
    exposure=st.floats(-1, 1),
    unrealized_return=st.floats(-1, 3),
    bars_held=st.integers(0, 500),
)


@st.composite
def wild_bars(draw: st.DrawFn, count: int = 60) -> Bars:
    """Prices from all magnitudes, standstills, zero volumes and gaps."""
    prices = st.floats(1e-18, 1e18) | st.sampled_from([1.0, 100.0, math.nextafter(100.0, 200.0)])
    four = np.sort(draw(npst.arrays(np.float64, (count, 4), elements=prices)), axis=1)
    spacings = draw(npst.arrays(np.int64, count, elements=st.integers(1, 4)))
    volumes = st.just(0.0) | st.floats(0.0, 1e30)
    return Bars(
        symbol="WILD",
        timestamps_ns=np.cumsum(spacings) * 1_800_000_000_000,
        open=four[:, 1],
        high=four[:, 3],
        low=four[:, 0],
        close=four[:, 2],
        volume=draw(npst.arrays(np.float64, count, elements=volumes)),
        interval_ns=1_800_000_000_000,
    )


def observe_bar_by_bar(bars: Bars, spec: FeatureSpec) -> list[np.ndarray]:
    pipeline = FeaturePipeline(spec)
    observations = []
    for index in range(len(bars)):
        pipeline.update(bars.bar(index))
        if pipeline.ready:
            observations.append(pipeline.observation(FLAT))
    return observations


@settings(max_examples=30)
@given(bars=wild_bars(), spec=specs)
def test_transform_and_update_with_any_bars_and_spec_give_the_same_bits(
    bars: Bars, spec: FeatureSpec
) -> None:
    rows = FeaturePipeline(spec).transform(bars)[spec.lookback - 1 :]
    observations = np.stack(observe_bar_by_bar(bars, spec))
    assert observations[:, : spec.market_size].tobytes() == rows.tobytes()
    assert np.isfinite(observations).all()
    assert (np.abs(observations) <= spec.clip).all()


@settings(max_examples=25)
@given(start=st.integers(0, 34_000), spec=st.just(FeatureSpec()) | specs)
def test_update_from_any_starting_bar_gives_the_bits_of_the_whole_real_series(
    btc: Bars, start: int, spec: FeatureSpec
) -> None:
    # Long enough for the ring buffer to come round.
    part = btc.slice(start, min(start + 3 * spec.lookback, len(btc)))
    first = start + spec.lookback - 1
    rows = FeaturePipeline(spec).transform(btc)[first : start + len(part)]
    observations = np.stack(observe_bar_by_bar(part, spec))
    assert observations[:, : spec.market_size].tobytes() == rows.tobytes()


@settings(max_examples=25)
@given(bars=wild_bars(), data=st.data())
def test_transform_with_a_later_bar_changed_leaves_earlier_rows_alone(
    bars: Bars, data: st.DataObject
) -> None:
    changed_from = data.draw(st.integers(SHORT.lookback, len(bars) - 1))
    other = data.draw(wild_bars())
    columns: dict[str, Any] = {
        name: np.concatenate(
            [getattr(bars, name)[:changed_from], getattr(other, name)[changed_from:]]
        )
        for name in ("open", "high", "low", "close", "volume")
    }
    changed = dataclasses.replace(bars, **columns)
    rows = FeaturePipeline(SHORT).transform(bars)[:changed_from]
    assert FeaturePipeline(SHORT).transform(changed)[:changed_from].tobytes() == rows.tobytes()


@settings(max_examples=25)
@given(bars=wild_bars(), index=st.integers(SHORT.lookback - 1, 59))
def test_transform_with_bars_before_the_lookback_changed_gives_the_same_row(
    bars: Bars, index: int
) -> None:
    window = bars.slice(index + 1 - SHORT.lookback, index + 1)
    (row,) = FeaturePipeline(SHORT).transform(window)[SHORT.lookback - 1 :]
    assert row.tobytes() == FeaturePipeline(SHORT).transform(bars)[index].tobytes()


def test_pipeline_rebuilt_from_the_json_of_its_spec_gives_the_same_bits(btc: Bars) -> None:
    spec = FeatureSpec(return_count=5, volatility_windows=(7,), scale=50.0)
    rebuilt = FeatureSpec.model_validate_json(spec.model_dump_json())
    bars = btc.slice(0, 1000)
    expected = FeaturePipeline(spec).transform(bars)
    assert FeaturePipeline(rebuilt).transform(bars).tobytes() == expected.tobytes()


def test_transform_marks_rows_without_enough_bars_as_not_a_number(btc: Bars) -> None:
    rows = FeaturePipeline().transform(btc.slice(0, 200))
    assert np.isnan(rows[:96]).all()
    assert np.isfinite(rows[96:]).all()
    assert rows.dtype == np.float32
    assert rows.shape == (200, 24)


def test_transform_with_fewer_bars_than_the_lookback_is_refused(btc: Bars) -> None:
    with pytest.raises(MarketDataError, match="96 bars of BTC are too few: .* looks at 97"):
        FeaturePipeline().transform(btc.slice(0, 96))


def test_transform_with_bars_of_another_length_is_refused(btc: Bars) -> None:
    with pytest.raises(MarketDataError, match="bars of 1800 s; .* for bar_seconds = 60"):
        FeaturePipeline(FeatureSpec(bar_seconds=60)).transform(btc)


def test_transform_with_overlapping_bars_is_refused(make_bars: MakeBars) -> None:
    times = make_bars(20).timestamps_ns.copy()
    times[7:] -= 60 * 10**9
    with pytest.raises(MarketDataError, match="has 1 bar.* the first in row 8"):
        FeaturePipeline(SHORT).transform(make_bars(20, timestamps_ns=times))


def bad_bars(last: Bar, following: Bar) -> dict[str, Bar]:
    replace = dataclasses.replace
    return {
        "repeated": last,
        "out of order": replace(following, timestamp_ns=last.timestamp_ns - 10**9),
        "too early": replace(following, timestamp_ns=following.timestamp_ns - 1),
        "absurd time": replace(following, timestamp_ns=10**30),
        "not finite": replace(following, close=math.nan),
        "infinite volume": replace(following, volume=math.inf),
        "negative price": replace(following, low=-1.0),
        "zero price": replace(following, open=0.0),
        "high below low": replace(following, high=following.low / 2),
    }


@pytest.mark.parametrize("fault", sorted(bad_bars(Bar(0, 1, 1, 1, 1, 1), Bar(1, 1, 1, 1, 1, 1))))
def test_update_with_a_bad_bar_is_refused_and_changes_nothing(btc: Bars, fault: str) -> None:
    pipeline = FeaturePipeline()
    for index in range(120):
        pipeline.update(btc.bar(index))
    before = pipeline.observation(FLAT)

    with pytest.raises(MarketDataError, match="bar of .* is refused") as refused:
        pipeline.update(bad_bars(btc.bar(119), btc.bar(120))[fault])

    assert refused.value.violations
    assert pipeline.observation(FLAT).tobytes() == before.tobytes()
    pipeline.update(btc.bar(120))
    expected = FeaturePipeline().transform(btc.slice(0, 121))[120]
    assert pipeline.observation(FLAT)[:24].tobytes() == expected.tobytes()


def test_update_with_a_bad_first_bar_is_refused(btc: Bars) -> None:
    with pytest.raises(MarketDataError, match="close: nan"):
        FeaturePipeline().update(dataclasses.replace(btc.bar(0), close=math.nan))


def test_update_with_whole_numbers_gives_the_bits_of_floats(make_bars: MakeBars) -> None:
    bars = make_bars(20, close=np.full(20, 8.0), high=np.full(20, 8.0), low=np.full(20, 8.0))
    pipeline = FeaturePipeline(SHORT)
    for bar in map(bars.bar, range(20)):
        pipeline.update(Bar(bar.timestamp_ns, 8, 8, 8, 8, 1))
    expected = observe_bar_by_bar(bars, SHORT)[-1]
    assert pipeline.observation(FLAT).tobytes() == expected.tobytes()


def test_observation_before_the_lookback_is_unavailable(btc: Bars) -> None:
    pipeline = FeaturePipeline()
    for index in range(96):
        pipeline.update(btc.bar(index))
        assert not pipeline.ready
    with pytest.raises(UnavailableError, match="only 96 of 97 bars seen so far"):
        pipeline.observation(FLAT)
    pipeline.update(btc.bar(96))
    assert pipeline.ready


@given(position=positions)
def test_observation_with_any_position_scales_and_caps_it(
    btc: Bars, position: PositionState
) -> None:
    pipeline = FeaturePipeline(SHORT)
    for index in range(SHORT.lookback):
        pipeline.update(btc.bar(index))
    exposure, unrealized, holding = pipeline.observation(position)[-3:]
    assert exposure == np.float32(position.exposure)
    assert unrealized == np.float32(np.clip(position.unrealized_return * 100.0, -10.0, 10.0))
    assert holding == np.float32(min(position.bars_held, 96) / 96)


def test_observation_with_a_ruined_account_stays_bounded(btc: Bars) -> None:
    pipeline = FeaturePipeline(SHORT)
    for index in range(SHORT.lookback):
        pipeline.update(btc.bar(index))
    ruined = PositionState(exposure=-math.inf, unrealized_return=-1.5, bars_held=3)
    assert pipeline.observation(ruined)[-3:].tolist() == [-10.0, -10.0, 3 / 96]


def test_observation_with_a_position_that_is_not_a_number_is_refused(btc: Bars) -> None:
    pipeline = FeaturePipeline(SHORT)
    for index in range(SHORT.lookback):
        pipeline.update(btc.bar(index))
    with pytest.raises(ObservationError, match="not a number"):
        pipeline.observation(PositionState(math.nan, 0.0, 0))
