"""A replay in the time of its market: no speed and no slow reader makes a bar late."""

import asyncio
import time

import pytest

from orchestrator.feeds import BarFlag, BarGuard, BarGuardSettings, HistoryFeed, read_ticks
from tradewind.market import load_sample

STEP = 1_800 * 10**9


@pytest.mark.parametrize("speed", [36_000.0, 3_600_000.0, None])
def test_replay_at_any_speed_with_a_reader_that_lags_has_no_late_bar(speed: float | None) -> None:
    bars = load_sample("BTC").slice(0, 60)

    async def read() -> list[tuple[str, ...]]:
        guard = BarGuard(BarGuardSettings(max_lateness_s=0.001), ["BTC"], STEP)
        feed = HistoryFeed([bars], speed=speed)
        found = []
        async for tick in read_ticks(feed, guard, ["BTC"], interval_ns=STEP, wait_s=1.0):
            time.sleep(0.01)
            found += [record.flags for record in tick.bars]
            assert tick.now_ns == tick.close_ns
        return found

    found = asyncio.run(read())
    assert len(found) == len(bars)
    assert not any(BarFlag.LATE in flags for flags in found)


def test_replay_with_a_speed_takes_the_time_of_its_market_divided_by_it() -> None:
    bars = load_sample("BTC").slice(0, 41)

    async def read() -> float:
        started = time.monotonic()
        async for _ in HistoryFeed([bars], speed=360_000.0):
            pass
        return time.monotonic() - started

    assert asyncio.run(read()) >= 40 * 1_800.0 / 360_000.0
