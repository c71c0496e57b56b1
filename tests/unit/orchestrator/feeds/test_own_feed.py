"""Feeds of one's own that yield, raise and do what no feed should."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import numpy as np
import pytest

from orchestrator.agents.held_up import watched_loop
from orchestrator.feeds import (
    BarGuard,
    BarGuardSettings,
    FeedBar,
    FeedFault,
    HistoryFeed,
    believed,
    read_ticks,
)
from orchestrator.records import BarRecord, RefusedBarRecord
from tradewind.errors import ComponentError, MarketDataError, UnavailableError
from tradewind.market import Bar, load_sample

STEP = 60_000_000_000
START = 1_600_000_020_000_000_000


def bar(index: int, symbol: Any = "BTC", **changes: Any) -> FeedBar:
    start_ns = START + index * STEP
    values = {"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.0, "volume": 9.0, **changes}
    values = {"timestamp_ns": start_ns, **values}
    return FeedBar(symbol, Bar(**values), start_ns + STEP)


class Own:
    """Yields what a test gives it, and then raises or ends."""

    def __init__(self, items: Iterable[Any], problem: Exception | None = None) -> None:
        self._items, self._problem = items, problem

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self._items:
            yield item
        if self._problem is not None:
            raise self._problem


def read(
    *items: Any, problem: Exception | None = None
) -> tuple[list[BarRecord], list[RefusedBarRecord]]:
    """Bars that were let through, and those that were not."""
    refused: list[RefusedBarRecord] = []
    bars: list[BarRecord] = []

    async def run() -> None:
        guard = BarGuard(BarGuardSettings(), ["BTC"], STEP)
        async for tick in read_ticks(
            believed(Own(items, problem)),
            guard,
            ["BTC"],
            interval_ns=STEP,
            wait_s=60.0,
            tell_refusal=refused.append,
        ):
            bars.extend(tick.bars)

    asyncio.run(run())
    return bars, refused


def test_bars_of_other_symbols_times_and_numbers_are_refused_and_the_others_traded_on() -> None:
    bars, refused = read(
        bar(0),
        bar(1, "XRP"),
        bar(1, close=float("nan")),
        bar(1, open=-1.0),
        bar(2),
        bar(1),
        bar(2),
        bar(3, high=0.1),
        bar(4, timestamp_ns=2**70),
        bar(5),
    )
    assert [item.start_ns for item in bars] == [START, START + 2 * STEP, START + 5 * STEP]
    assert [item.fault for item in refused] == [
        "UNKNOWN_SYMBOL", "ABSURD", "ABSURD", "OUT_OF_ORDER", "DUPLICATE", "ABSURD", "ABSURD",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (None, "NoneType, no FeedBar"),
        (7, "int, no FeedBar"),
        (Bar(START, 1.0, 1.0, 1.0, 1.0, 1.0), "Bar, no FeedBar"),
        (FeedBar("BTC", None, START), "FeedBar, no FeedBar with a Bar"),  # type: ignore[arg-type]
        (bar(0, 7), "symbol is int, no text"),
        (bar(0, ["BTC"]), "symbol is list, no text"),
        (bar(0, "\udcff"), "surrogates not allowed"),
        (bar(0, close="1.0"), "'1.0' is no number"),
        (bar(0, close=None), "float"),
        (bar(0, close=True), "True is no number"),
        (bar(0, close=np.array([1.0, 2.0])), "only .*arrays can be converted"),
        (bar(0, timestamp_ns=float(START)), "'float' object cannot be interpreted as an integer"),
        (bar(0, timestamp_ns="2020"), "'str' object cannot be interpreted"),
        (FeedBar("BTC", bar(0).bar, None), "'NoneType' object"),  # type: ignore[arg-type]
        (FeedFault("the line is " + "busy" * 999, 0), "the line is busy"),
        (FeedFault(b"?", "now"), "b'?'"),  # type: ignore[arg-type]
    ],
)
def test_item_that_is_no_bar_is_refused_with_what_it_is(item: Any, says: str) -> None:
    bars, (refused,) = read(item, bar(1))
    assert len(bars) == 1
    assert refused.fault == "MALFORMED"
    assert len(refused.detail) < 600
    assert re.search(says, refused.detail)


def test_numbers_of_numpy_become_pythons_own() -> None:
    one = bar(0, open=np.float64(1.5), close=np.float32(1.5), timestamp_ns=np.int64(START))
    (found,), _ = read(FeedBar("BTC", one.bar, np.int64(START + STEP), interval_ns=np.uint64(STEP)))  # type: ignore[arg-type]
    assert {type(found.start_ns), type(found.arrived_ns)} == {int}
    assert {type(found.open), type(found.close)} == {float}


def test_feed_that_raises_ends_the_run_with_the_line_and_without_a_traceback() -> None:
    with pytest.raises(UnavailableError, match=r"feed raised KeyError \(test_own_feed.py:\d+\)"):
        read(bar(0), problem=KeyError("price"))
    with pytest.raises(MarketDataError, match="gone"):
        read(bar(0), problem=MarketDataError("gone"))
    assert len(read(bar(0))[0]) == 1  # one that ends is over


def test_what_is_no_feed_is_refused_and_tradewinds_own_are_as_they_are() -> None:
    async def bars() -> None: ...

    odds: tuple[Any, ...] = (None, [bar(0)], bars(), iter([]))
    for odd in odds:
        with pytest.raises(ComponentError, match=r"feed.kind: bars gave .*asynchronous iterator"):
            believed(odd)
    replay = HistoryFeed([load_sample("BTC")])
    assert believed(replay) is replay


def test_loop_that_is_held_up_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    class Blocking(Own):
        async def __aiter__(self) -> AsyncIterator[Any]:
            await asyncio.sleep(0)  # the watch has begun
            time.sleep(0.4)  # what a feed must not do
            yield bar(0)

    async def run() -> None:
        async with watched_loop(long_s=0.1):
            assert [item async for item in believed(Blocking([]))]
            while "held up" not in caplog.text:
                await asyncio.sleep(0.01)

    asyncio.run(run())
    assert "asyncio.to_thread" in caplog.text
