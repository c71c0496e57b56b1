"""What the bus says of where the orchestrator stands: it does not trade who cannot."""

import time
from typing import Any

import pytest

from orchestrator.decision_log import Outcome, RefusedBarRecord, TickRecord
from orchestrator.events import EventBus

FAR_NS = 10**18


def tick(outcome: Outcome, *reasons: str) -> TickRecord:
    values: dict[str, Any] = dict.fromkeys(
        ("cash", "equity", "fees_paid", "start_of_day_equity"), 1.0
    )
    return TickRecord(
        sequence=0, run_id="r", account="a", close_ns=0, decided_ns=0, outcome=outcome,
        reasons=reasons, bars=(), refused_bars=(), fills=(), positions=(), inputs_digest="",
        **values,
    )  # fmt: skip


@pytest.fixture
def bus() -> EventBus:
    bus = EventBus()
    bus.set_state("TRADING")
    bus.expect(time.time_ns() + FAR_NS)
    return bus


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.DECIDED, "TRADING"),
        (Outcome.FLATTENED, "TRADING"),
        (Outcome.RECOVERED, "TRADING"),
        (Outcome.HELD, "HOLDING"),
        (Outcome.WARM_UP, "WARMING_UP"),
    ],
)
def test_state_with_a_tick_is_what_came_of_it(bus: EventBus, outcome: Outcome, state: str) -> None:
    bus.publish(tick(outcome, "LATE_BAR", "WARM_UP"))
    found = bus.snapshot()
    assert found.state == state
    assert found.detail == ("" if state == "TRADING" else "LATE_BAR, WARM_UP")


def test_state_with_an_overdue_tick_says_since_when_and_what_was_refused(bus: EventBus) -> None:
    bus.publish(tick(Outcome.DECIDED))
    assert bus.snapshot().state == "TRADING"
    bus.expect(1_600_000_000 * 10**9)
    assert bus.snapshot().state == "WAITING"
    assert bus.snapshot().detail == "no tick since it was due at 2020-09-13T12:26:40+00:00"
    bus.refuse(RefusedBarRecord("BTC", 0, "FUTURE", "closes 3 s after it arrived"))
    assert bus.snapshot().detail.endswith(
        "the last bar was refused: FUTURE BTC: closes 3 s after it arrived"
    )
    bus.publish(tick(Outcome.DECIDED))  # what was refused before a tick says nothing any more
    assert "refused" not in bus.snapshot().detail


@pytest.mark.parametrize("state", ["STARTING", "HALTED", "STOPPED", "FAILED"])
def test_state_that_is_no_trading_stands_whatever_the_ticks_say(bus: EventBus, state: str) -> None:
    bus.publish(tick(Outcome.HELD, "RISK_HALT"))
    bus.expect(0)
    bus.set_state(state, "why")
    assert (bus.snapshot().state, bus.snapshot().detail) == (state, "why")


def test_bus_of_another_process_keeps_what_is_due_although_the_clock_was_set_back(
    bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus.expect(time.time_ns() - 1)
    now_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns - FAR_NS)
    other = EventBus()
    other.restore(bus.status())
    assert other.snapshot().state == bus.snapshot().state == "WAITING"
    assert other.snapshot().due_ns == bus.snapshot().due_ns


def test_counters_tell_decided_ticks_from_all(bus: EventBus) -> None:
    for outcome in (Outcome.WARM_UP, Outcome.HELD, Outcome.DECIDED, Outcome.FLATTENED):
        bus.publish(tick(outcome))
    counters = bus.snapshot().counters
    assert (counters["ticks"], counters["decided_ticks"]) == (4, 2)
