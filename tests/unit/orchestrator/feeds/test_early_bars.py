"""Bars that come shortly before they close: the last word on a time counts, and none is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from orchestrator.decision_log import RefusedBarRecord
from orchestrator.feeds import (
    BarFault,
    BarFlag,
    BarGuard,
    BarGuardSettings,
    FeedBar,
    FeedFault,
    Tick,
    read_ticks,
)
from orchestrator.markets import Markets
from tradewind.market import Bar
from tradewind.market.markets import ALWAYS_OPEN

STEP = 60_000_000_000
START = 1_600_000_020_000_000_000
MS = 1_000_000


def bar(
    index: int, close: float, early_ms: int, symbol: str = "BTC", *, says_closed: bool = False
) -> FeedBar:
    """A bar that arrives so long before its close."""
    shape = Bar(START + index * STEP, 100.0, 105.0, 95.0, close, 5.0)
    arrived_ns = shape.timestamp_ns + STEP - early_ms * MS
    return FeedBar(symbol, shape, arrived_ns, says_closed)


class Script:
    """A feed that gives its items, and waits where one of them is an event."""

    def __init__(self, *steps: FeedBar | FeedFault | asyncio.Event) -> None:
        self._steps = steps

    async def __aiter__(self) -> AsyncIterator[FeedBar | FeedFault]:
        for step in self._steps:
            if isinstance(step, asyncio.Event):
                await step.wait()
            else:
                yield step


def read(
    *steps: FeedBar | FeedFault | asyncio.Event,
    symbols: Sequence[str] = ("BTC",),
    wait_s: float = 30.0,
    skew_s: float = 1.0,
    on_tick: Callable[[Tick], None] = lambda tick: None,
    tell: Callable[[RefusedBarRecord], None] | None = None,
) -> list[Tick]:
    async def run() -> list[Tick]:
        guard = BarGuard(
            BarGuardSettings(max_clock_skew_s=skew_s),
            symbols,
            STEP,
            Markets(dict.fromkeys(symbols, ALWAYS_OPEN), STEP),
        )
        reading = read_ticks(
            Script(*steps), guard, symbols, interval_ns=STEP, wait_s=wait_s, tell_refusal=tell
        )
        ticks = []
        async with asyncio.timeout(30.0):
            async for tick in reading:
                ticks.append(tick)
                on_tick(tick)
        return ticks

    return asyncio.run(run())


def closes(ticks: Sequence[Tick]) -> list[list[tuple[str, float]]]:
    return [[(bar.symbol, bar.close) for bar in tick.bars] for tick in ticks]


def faults(ticks: Sequence[Tick]) -> list[str]:
    return [refused.fault for tick in ticks for refused in tick.refused]


def test_two_bars_that_both_come_before_the_close_count_as_the_later_one() -> None:
    ticks = read(bar(0, 101.0, 400), bar(0, 97.0, 100), bar(1, 98.0, -100))
    assert closes(ticks) == [[("BTC", 97.0)], [("BTC", 98.0)]]
    assert faults(ticks) == [BarFault.FORMING]
    assert all(bar.flags == () for tick in ticks for bar in tick.bars)


@pytest.mark.parametrize("says_closed", [True, False])
def test_bar_after_its_close_replaces_the_one_that_came_before_it(says_closed: bool) -> None:
    closed = bar(0, 97.0, -100, says_closed=says_closed)
    ticks = read(bar(0, 101.0, 400), closed, bar(1, 98.0, -100))
    assert closes(ticks) == [[("BTC", 97.0)], [("BTC", 98.0)]]


def test_early_bar_that_says_it_has_closed_is_taken_at_once_and_stands() -> None:
    stop = asyncio.Event()
    ticks = read(
        bar(0, 97.0, 400, says_closed=True), stop, bar(0, 101.0, 100),
        on_tick=lambda tick: stop.set(),
    )  # fmt: skip
    assert closes(ticks) == [[("BTC", 97.0)]]


def test_early_bar_that_nothing_follows_is_taken_once_it_has_closed_by_either_clock() -> None:
    stop = asyncio.Event()
    (tick,) = read(bar(0, 97.0, 10), stop, skew_s=0.05, on_tick=lambda tick: stop.set())
    assert closes([tick]) == [[("BTC", 97.0)]]


def test_early_bar_counts_for_its_tick_when_the_others_are_waited_for_no_longer() -> None:
    stop = asyncio.Event()
    steps = (bar(0, 97.0, 400, "ETH"), bar(0, 96.0, -10, "BTC"), stop)
    (tick,) = read(
        *steps, symbols=("BTC", "ETH", "LTC"), wait_s=0.05, skew_s=600.0,
        on_tick=lambda tick: stop.set(),
    )  # fmt: skip
    assert sorted(closes([tick])[0]) == [("BTC", 96.0), ("ETH", 97.0)]
    assert BarFlag.LATE not in [flag for record in tick.bars for flag in record.flags]


def test_early_bars_are_taken_before_the_next_ones_and_at_the_end_of_the_feed() -> None:
    ticks = read(bar(0, 97.0, 400), bar(1, 98.0, 400), bar(2, 99.0, 400))
    assert closes(ticks) == [[("BTC", 97.0)], [("BTC", 98.0)], [("BTC", 99.0)]]


def test_bars_that_are_shorter_than_clocks_may_differ_are_each_taken_once() -> None:
    # An older one that is early itself must not take the place of the one that waits.
    ticks = read(bar(1, 98.0, 400), bar(0, 97.0, 60_400), bar(1, 99.0, -10), skew_s=120.0)
    assert closes(ticks)[-1][-1] == ("BTC", 99.0)
    assert sum(len(tick.bars) for tick in ticks) == 2


def test_early_bar_of_a_stranger_is_refused_and_not_kept() -> None:
    ticks = read(bar(0, 99.0, 400, "DOGE"), bar(0, 97.0, -10))
    assert faults(ticks) == [BarFault.UNKNOWN_SYMBOL]


def test_flood_of_refused_bars_neither_grows_nor_holds_up_a_tick() -> None:
    told: list[RefusedBarRecord] = []
    same = bar(0, 96.0, -10, "BTC")
    flood = [same, *[same] * 5_000, *[bar(0, 99.0, -10, "DOGE")] * 5_000]
    stop = asyncio.Event()
    (tick,) = read(
        *flood, stop, symbols=("BTC", "ETH"), wait_s=0.2,
        on_tick=lambda tick: stop.set(), tell=told.append,
    )  # fmt: skip
    assert closes([tick]) == [[("BTC", 96.0)]]
    assert len(tick.refused) <= 256 + 2
    assert len(told) == 10_000
