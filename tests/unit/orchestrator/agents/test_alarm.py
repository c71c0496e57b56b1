"""What the alarm tells of what the event bus says."""

from dataclasses import replace

import pytest

from orchestrator.agents.alarm import Alarm
from orchestrator.events import EventBus
from orchestrator.records import Outcome
from tests.unit.orchestrator.conftest import MakeTick
from tradewind.alerts import AlertKind
from tradewind.risk.decision import Halt
from tradewind.risk.rules import Action


class Told:
    """Stands in for the sender: takes note of what it is told."""

    after_s = 30.0

    def __init__(self) -> None:
        self.said: list[tuple[str, AlertKind, str, str]] = []
        self.occurrences: list[str] = []

    def trouble(self, kind: AlertKind, subject: str, text: str, occurrence: str = "") -> None:
        self.occurrences.append(occurrence)
        self.said.append(("trouble", kind, subject, text))

    def over(self, kind: AlertKind, subject: str, text: str) -> None:
        self.said.append(("over", kind, subject, text))


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def alarm(bus: EventBus, told: Told, clock: list[float]) -> Alarm:
    return Alarm(bus, told, "main", "tradewind risk resume main", lambda: clock[0])  # type: ignore[arg-type]


HALT = Halt(Action.HALT, 1.0, "drawdown_halt", "drawdown 0.21 over 0.2", "d-1")


def test_halt_is_told_at_once_with_how_to_resume_and_its_end_too(
    alarm: Alarm, bus: EventBus, told: Told
) -> None:
    bus.set_halt(HALT, "drawdown 0.21 over 0.2")
    alarm.look()
    alarm.look()
    bus.set_halt(None)
    alarm.look()
    (first, second) = told.said
    assert first[:3] == ("trouble", AlertKind.HALT, "main")
    assert "drawdown_halt" in first[3]
    assert "tradewind risk resume main" in first[3]
    assert second[:3] == ("over", AlertKind.HALT, "main")


def test_another_halt_while_one_stands_is_told_too(alarm: Alarm, bus: EventBus, told: Told) -> None:
    bus.set_halt(HALT)
    alarm.look()
    bus.set_halt(replace(HALT, action=Action.LIQUIDATE, rule="ruin", decision_id="d-2"))
    alarm.look()
    assert told.occurrences == ["d-1", "d-2"]  # each is told, however soon it comes
    assert ["ruin" in text for *_, text in told.said] == [False, True]


@pytest.mark.parametrize(
    ("reason", "subject"),
    [
        ("INFERENCE_UNAVAILABLE", "inference service of main"),
        ("RISK_UNAVAILABLE", "risk service of main"),
        ("BROKER_UNAVAILABLE", "broker of main"),
    ],
)
def test_service_that_is_gone_for_long_is_told_and_its_return_too(
    alarm: Alarm,
    bus: EventBus,
    told: Told,
    clock: list[float],
    tick: MakeTick,
    reason: str,
    subject: str,
) -> None:
    bus.set_state("TRADING")
    bus.publish(tick(0, outcome=Outcome.HELD, reasons=(reason,)))
    alarm.look()
    clock[0] = 29.0
    alarm.look()
    assert told.said == []
    clock[0] = 30.0
    alarm.look()
    (gone,) = told.said
    assert gone[:3] == ("trouble", AlertKind.SERVICE_DOWN, subject)
    bus.publish(tick(1))
    alarm.look()
    assert told.said[-1][:3] == ("over", AlertKind.SERVICE_DOWN, subject)


def test_service_that_comes_back_in_time_is_not_told(
    alarm: Alarm, bus: EventBus, told: Told, clock: list[float], tick: MakeTick
) -> None:
    bus.set_state("TRADING")
    for number, reasons in enumerate((("RISK_UNAVAILABLE",), (), ("RISK_UNAVAILABLE",))):
        clock[0] = 20.0 * number
        bus.publish(tick(number, reasons=reasons))
        alarm.look()
    assert [said for said in told.said if said[0] == "trouble"] == []


@pytest.mark.parametrize("halted", [False, True])
def test_bars_that_do_not_come_are_told_also_of_a_halted_account(
    alarm: Alarm, bus: EventBus, told: Told, clock: list[float], halted: bool
) -> None:
    bus.set_halt(HALT if halted else None)
    bus.expect(1)  # long ago
    alarm.look()
    clock[0] = 31.0
    alarm.look()
    gone = told.said[-1]
    assert gone[:3] == ("trouble", AlertKind.FEED_STALE, "feed of main")
    assert "no tick since it was due" in gone[3]


def test_failure_is_told_with_its_cause(alarm: Alarm, bus: EventBus, told: Told) -> None:
    bus.set_state("FAILED", "the feed raised ValueError")
    alarm.look()
    assert told.said == [("trouble", AlertKind.FAILED, "main", "the feed raised ValueError")]
