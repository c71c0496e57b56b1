"""Each kind of bad bar is refused or let through as docs/guides/orchestrator.md says."""

import dataclasses
import math
from typing import Any

import pytest

from orchestrator.decision_log import BarRecord, RefusedBarRecord
from orchestrator.feeds import BarFault, BarFlag, BarGuard, BarGuardSettings, FeedBar
from orchestrator.markets import Markets
from tradewind.market import Bar
from tradewind.market.markets import ALWAYS_OPEN

STEP = 60_000_000_000
START = 1_600_000_020_000_000_000


def bar(index: int, price: float = 100.0, **changes: Any) -> FeedBar:
    base = Bar(START + index * STEP, price, price + 1.0, price - 1.0, price, 5.0)
    changed = dataclasses.replace(base, **changes)
    return FeedBar("BTC", changed, changed.timestamp_ns + STEP)


@pytest.fixture
def guard() -> BarGuard:
    always_open = Markets({"BTC": ALWAYS_OPEN}, STEP)
    guard = BarGuard(BarGuardSettings(max_gap_bars=3), ["BTC"], STEP, always_open)
    assert isinstance(guard.check(bar(0)), BarRecord)
    return guard


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (bar(0), BarFault.DUPLICATE),
        (bar(0, close=100.5), BarFault.REVISED),
        (bar(-1), BarFault.OUT_OF_ORDER),
        (bar(1, close=math.nan), BarFault.ABSURD),
        (bar(1, high=math.inf), BarFault.ABSURD),
        (bar(1, high=90.0), BarFault.ABSURD),
        (bar(1, volume=-1.0), BarFault.ABSURD),
        (bar(1, timestamp_ns=2**62), BarFault.ABSURD),
        (bar(1, price=200.0), BarFault.JUMP),
        (dataclasses.replace(bar(1), symbol="DOGE"), BarFault.UNKNOWN_SYMBOL),
        (dataclasses.replace(bar(1), arrived_ns=START), BarFault.FUTURE),
        (dataclasses.replace(bar(1), interval_ns=STEP // 60), BarFault.INTERVAL),
    ],
)
def test_guard_with_a_bad_bar_refuses_it_and_takes_the_next_good_one(
    guard: BarGuard, item: FeedBar, fault: BarFault
) -> None:
    refused = guard.check(item)
    assert isinstance(refused, RefusedBarRecord)
    assert refused.fault == fault
    assert refused.detail
    accepted = guard.check(bar(1))
    assert isinstance(accepted, BarRecord)
    assert accepted.flags == ()


def test_guard_with_several_bars_at_the_new_price_believes_it(guard: BarGuard) -> None:
    seen = [guard.check(bar(index, price=200.0)) for index in (1, 2, 3, 4)]
    assert [isinstance(item, BarRecord) for item in seen] == [False, False, True, True]
    assert isinstance(seen[2], BarRecord)
    assert BarFlag.JUMP_CONFIRMED in seen[2].flags


@pytest.mark.parametrize(
    ("index", "flags"),
    [(1, ()), (2, (BarFlag.GAP,)), (4, (BarFlag.GAP,)), (5, (BarFlag.WARM_UP_AGAIN,))],
)
def test_guard_with_missing_bars_flags_the_next_one(
    guard: BarGuard, index: int, flags: tuple[BarFlag, ...]
) -> None:
    accepted = guard.check(bar(index))
    assert isinstance(accepted, BarRecord)
    assert accepted.flags == flags


def test_guard_with_a_late_bar_flags_it(guard: BarGuard) -> None:
    item = bar(1)
    late = dataclasses.replace(item, arrived_ns=item.arrived_ns + 6_000_000_000)
    accepted = guard.check(late)
    assert isinstance(accepted, BarRecord)
    assert accepted.flags == (BarFlag.LATE,)
