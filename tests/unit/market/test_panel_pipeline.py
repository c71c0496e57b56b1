"""PanelPipeline: bar by bar, however the bars arrive, the observations of an aligned panel."""

import dataclasses
import math
from functools import cache
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.errors import MarketDataError, ObservationError, UnavailableError
from tradewind.market import (
    BarPanel,
    Bars,
    FeaturePipeline,
    FeatureSpec,
    PanelPipeline,
    PositionState,
    load_sample,
)

SYMBOLS = ("BTC", "ETH", "LTC")
SPEC = FeatureSpec(
    return_count=2, volatility_windows=(3,), rsi_period=None, ema_periods=(2,), ema_depth=2,
    vwap_window=None,
)  # fmt: skip
POSITIONS = tuple(PositionState(0.1 * number, -0.01 * number, number) for number in range(3))


@cache
def full() -> BarPanel:
    return BarPanel.align([load_sample(symbol).slice(0, 24) for symbol in SYMBOLS])


def expected(panel: BarPanel, row: int) -> bytes:
    """What the training environment puts together after a bar."""
    market = [FeaturePipeline(SPEC).transform(each)[row] for each in panel.series]
    positions = []
    for position in POSITIONS:
        one = FeaturePipeline(SPEC)
        for index in range(SPEC.lookback):
            one.update(full().series[0].bar(index))
        positions.append(one.observation(position)[SPEC.market_size :])
    return np.concatenate([*market, *positions]).tobytes()


def picked(bars: Bars, rows: list[int]) -> Bars:
    columns = ("timestamps_ns", "open", "high", "low", "close", "volume")
    return dataclasses.replace(bars, **{name: getattr(bars, name)[rows] for name in columns})


@given(
    missing=st.lists(st.sets(st.integers(0, 23), max_size=5), min_size=3, max_size=3),
    random=st.randoms(use_true_random=False),
)
def test_panel_pipeline_with_bars_missing_and_late_gives_the_observations_of_the_aligned_panel(
    missing: list[set[int]], random: Random
) -> None:
    rows = [sorted({*range(24)} - gone) for gone in missing]
    series = [picked(bars, own) for bars, own in zip(full().series, rows, strict=True)]
    panel = BarPanel.align(series)
    pipeline = PanelPipeline(SYMBOLS, SPEC)
    places = [0, 0, 0]
    seen: list[bytes] = []
    while left := [at for at in range(3) if places[at] < len(series[at])]:
        # Any symbol may be far behind the others.
        at = random.choice(left)
        pipeline.update(SYMBOLS[at], series[at].bar(places[at]))
        places[at] += 1
        if pipeline.ready:
            found = pipeline.observation(POSITIONS).tobytes()
            if not seen or seen[-1] != found:
                seen.append(found)
    first = SPEC.lookback - 1
    assert seen == [expected(panel, row) for row in range(first, len(panel))]


def test_panel_pipeline_of_one_symbol_is_a_feature_pipeline() -> None:
    one, other = PanelPipeline(SYMBOLS[:1], SPEC), FeaturePipeline(SPEC)
    for index in range(SPEC.lookback):
        one.update("BTC", full().series[0].bar(index))
        other.update(full().series[0].bar(index))
    alone = other.observation(POSITIONS[2])
    assert one.observation(POSITIONS[2:]).tobytes() == alone.tobytes()


def test_panel_pipeline_that_starts_over_keeps_the_bars_that_wait_from_then_on() -> None:
    pipeline = PanelPipeline(SYMBOLS, SPEC)
    count, lookback = len(full()), SPEC.lookback
    for index in range(count - lookback):
        for bars in full().series:
            pipeline.update(bars.symbol, bars.bar(index))
    start = count - lookback
    pipeline.update("BTC", full().series[0].bar(start))
    pipeline.start_over(int(full().timestamps_ns[start]))
    assert not pipeline.ready
    with pytest.raises(UnavailableError, match=f"only 0 of {lookback} bars"):
        pipeline.observation(POSITIONS)
    for index in range(start, count):
        for bars in full().series[index == start :]:
            pipeline.update(bars.symbol, bars.bar(index))
    assert pipeline.observation(POSITIONS).tobytes() == expected(full(), count - 1)


def test_panel_pipeline_refuses_what_a_feature_pipeline_does_and_is_unchanged() -> None:
    pipeline = PanelPipeline(SYMBOLS, SPEC)
    for index in range(SPEC.lookback):
        for bars in full().series:
            pipeline.update(bars.symbol, bars.bar(index))
    before = pipeline.observation(POSITIONS).tobytes()
    for bar in (
        full().series[1].bar(0),
        dataclasses.replace(full().series[1].bar(SPEC.lookback), close=math.nan),
    ):
        with pytest.raises(MarketDataError, match="is refused"):
            pipeline.update("ETH", bar)
    assert pipeline.observation(POSITIONS).tobytes() == before
    with pytest.raises(ObservationError, match="not a number"):
        pipeline.observation([*POSITIONS[:2], PositionState(math.nan, 0.0, 0)])
    with pytest.raises(MarketDataError, match="only once: BTC"):
        PanelPipeline(("BTC", "BTC"), SPEC)
