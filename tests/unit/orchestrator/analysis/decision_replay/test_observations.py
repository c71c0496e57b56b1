"""Observations of a whole log at once are those that were built bar by bar."""

from functools import cache

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.analysis.decision_replay.observations import (
    MarketRows,
    build_observations,
    component_names,
)
from orchestrator.analysis.decision_replay.ticks import LoggedTick
from orchestrator.decision_log import BarRecord
from orchestrator.feeds import BarFlag
from tradewind.market import (
    BarPanel,
    FeaturePipeline,
    FeatureSpec,
    PanelPipeline,
    PositionState,
    load_sample,
)

SPEC = FeatureSpec(
    return_count=2, volatility_windows=(4,), ema_periods=(2,), ema_depth=2, rsi_period=None,
    vwap_window=None,
)  # fmt: skip


def test_market_rows_with_gaps_late_bars_and_a_new_warm_up_are_those_of_the_pipeline() -> None:
    bars = load_sample("BTC").slice(0, 60)
    interval = bars.interval_ns
    ticks: list[LoggedTick] = []
    expected = []
    pipeline = FeaturePipeline(SPEC)
    held: list[BarRecord] = []
    for index in range(60):
        bar = bars.bar(index)
        flags = (BarFlag.WARM_UP_AGAIN,) if index in (20, 22) else ()
        held.append(
            BarRecord(
                "BTC", bar.timestamp_ns, bar.open, bar.high, bar.low, bar.close, bar.volume, 0,
                flags,
            )
        )  # fmt: skip
        if index in (10, 30, 31):  # comes with the bars of the next tick
            continue
        for record in held:
            if record.flags:
                pipeline = FeaturePipeline(SPEC)
            at = (record.start_ns, record.open, record.high, record.low, record.close)
            pipeline.update(type(bar)(*at, record.volume))
        ticks.append(LoggedTick(len(ticks), bar.timestamp_ns + interval, tuple(held), (), ()))
        held = []
        expected.append(
            pipeline.observation(PositionState(0.25, -0.5, 7)) if pipeline.ready else None
        )
    rows = MarketRows(ticks, interval)
    ready = np.array([row is not None for row in expected])
    market = rows.at(("BTC",), SPEC)
    assert (np.isfinite(market).all(axis=1) == ready).all()
    count = len(ticks)
    built = build_observations(
        market,
        {
            "exposure": [np.full(count, 0.25)],
            "unrealized_return": [np.full(count, -0.5)],
            "bars_held": [np.full(count, 7)],
        },
        SPEC,
    )
    assert built[ready].tobytes() == np.stack([it for it in expected if it is not None]).tobytes()
    assert np.isnan(rows.at(("ETH",), SPEC)).all()


SYMBOLS = ("BTC", "ETH", "LTC")
COUNT = 24


@cache
def panel() -> BarPanel:
    series = [load_sample(symbol).slice(0, COUNT) for symbol in SYMBOLS]
    return BarPanel.align(series)


places = st.tuples(st.integers(0, 2), st.integers(0, COUNT - 1))


@settings(max_examples=100)
@given(
    missing=st.sets(places, max_size=8),
    late=st.dictionaries(places, st.integers(1, 4), max_size=6),
    again=st.sets(places, max_size=3),
)
@example(missing=set(), late={(2, 8): 4}, again={(0, 10)})
def test_market_rows_of_several_symbols_are_those_that_their_pipeline_had_when_it_was_asked(
    missing: set[tuple[int, int]], late: dict[tuple[int, int], int], again: set[tuple[int, int]]
) -> None:
    count = len(panel())
    pipeline = PanelPipeline(SYMBOLS, SPEC)
    ticks: list[LoggedTick] = []
    expected: dict[int, bytes | None] = {}
    queues: list[list[tuple[int, BarRecord]]] = [[], [], []]  # bars of a symbol keep their order
    for index in range(count):
        arrived: list[BarRecord] = []
        on_time = 0
        for place, bars in enumerate(panel().series):
            queue = queues[place]
            if (place, index) not in missing:
                bar = bars.bar(index)
                flags = (BarFlag.WARM_UP_AGAIN,) if (place, index) in again else ()
                record = BarRecord(
                    bars.symbol, bar.timestamp_ns, bar.open, bar.high, bar.low, bar.close,
                    bar.volume, 0, flags,
                )  # fmt: skip
                queue.append((index + late.get((place, index), 0), record))
            while queue and queue[0][0] <= index:
                arrived.append(queue.pop(0)[1])
                on_time += arrived[-1].start_ns == int(panel().timestamps_ns[index])
        ordered = sorted(arrived, key=lambda record: record.start_ns)  # stragglers come first
        for record in ordered:
            if record.flags:
                pipeline.start_over(record.start_ns)
            pipeline.update(record.symbol, record.bar)
        ticks.append(LoggedTick(index, index, tuple(ordered), (), ()))
        if on_time == 3:
            expected[index] = None
            if pipeline.ready:
                observed = pipeline.observation([PositionState(0.0, 0.0, 0)] * 3)
                expected[index] = observed[: 3 * SPEC.market_size].tobytes()
    market = MarketRows(ticks, panel().interval_ns).at(SYMBOLS, SPEC)
    for index, row in expected.items():
        found = market[index]
        assert np.isnan(found).all() if row is None else found.tobytes() == row


def test_components_of_several_symbols_are_named_in_their_order() -> None:
    names = component_names(SPEC, ["BTC", "ETH"])
    assert len(names) == 2 * SPEC.observation_size
    assert names[0] == f"BTC {SPEC.component_names[0]}"
    assert names[SPEC.market_size] == f"ETH {SPEC.component_names[0]}"
    assert names[-6:-3] == [f"BTC {name}" for name in SPEC.component_names[-3:]]
