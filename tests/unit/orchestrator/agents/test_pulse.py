"""The line that says where an account stands."""

import asyncio
import io
import logging
import threading

import pytest

from orchestrator.agents.pulse import Pulse
from orchestrator.decision_log import PositionRecord, RiskAnswer
from orchestrator.events import EventBus
from tests.unit.orchestrator.conftest import MakeTick
from tests.waiting import wait_until
from tradewind.risk.decision import Halt
from tradewind.risk.rules import Action

METRICS = {"current_drawdown": 0.0313}
REDUCED = RiskAnswer("i", "d", "REDUCE", "ef", False, ("near: 0.21 > 0.2",), 1.0, METRICS, {})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def bus() -> EventBus:
    bus = EventBus()
    bus.set_facts({"capital_base": 100.0})
    bus.set_state("TRADING")
    return bus


def test_pulse_on_a_terminal_says_what_changed_and_what_risk_demands(
    bus: EventBus, tick: MakeTick
) -> None:
    terminal, now = Terminal(), [0.0]
    pulse = Pulse(bus, "main", terminal, lambda: now[0])

    async def trade() -> None:
        async with pulse.beating():
            held = (PositionRecord("\x1b[31m<b>BTC</b>", 0.5, 1.0, 1.5),)
            bus.publish(tick(0, equity=103.46, risk=REDUCED, positions=held, reasons=("SLOW",)))
            now[0] = 2.0
            pulse.beat()
            await asyncio.to_thread(wait_until, lambda: bool(terminal.getvalue()))
            pulse.beat()  # nothing is new
            bus.set_halt(Halt(Action.HALT, 1.0, "ruin", "too much", "d1"))

    asyncio.run(trade())
    wait_until(lambda: terminal.getvalue().count("\n") == 2)
    first, second = terminal.getvalue().splitlines()
    assert first == (
        "main 2020-09-13T12:30:00+00:00 TRADING · 1 ticks, 0.5/s · equity 103.46 (+3.46%) · "
        "drawdown 3.13% · risk REDUCE; near: 0.21 > 0.2 · held [31m<b>BTC</b> 0.5 · why SLOW"
    )
    assert "HALTED by rule ruin" in second


def test_pulse_of_a_terminal_that_is_held_waits_for_nobody(bus: EventBus, tick: MakeTick) -> None:
    released, tried = threading.Event(), threading.Event()

    class Held(Terminal):
        def write(self, text: str) -> int:
            tried.set()
            released.wait()
            return super().write(text)

    terminal = Held()
    pulse = Pulse(bus, "main", terminal)

    async def trade() -> None:
        async with pulse.beating():
            for number in range(5):
                bus.publish(tick(number))
                pulse.beat()
                await asyncio.to_thread(tried.wait)

    asyncio.run(trade())  # would never end if it waited for the terminal
    assert terminal.getvalue() == ""
    released.set()
    wait_until(lambda: terminal.getvalue().startswith("main 2020-09-13"))


def test_pulse_of_a_terminal_that_is_gone_goes_on(bus: EventBus, tick: MakeTick) -> None:
    tried: list[str] = []

    class Gone(Terminal):
        def write(self, text: str) -> int:
            tried.append(text)
            raise OSError("gone")

    pulse = Pulse(bus, "main", Gone())

    async def trade() -> None:
        async with pulse.beating():
            bus.publish(tick(0))
            pulse.beat()
            await asyncio.to_thread(wait_until, lambda: len(tried) == 1)
            bus.publish(tick(1))
            pulse.beat()

    asyncio.run(trade())
    wait_until(lambda: len(tried) == 2)


def test_pulse_without_a_terminal_logs_fields(
    bus: EventBus, tick: MakeTick, caplog: pytest.LogCaptureFixture
) -> None:
    bus.publish(tick(3, risk=None))
    with caplog.at_level(logging.INFO):
        Pulse(bus, "main", io.StringIO()).beat()
    (record,) = caplog.records
    fields = vars(record)["fields"]
    assert (fields["ticks"], fields["equity"], fields["risk"]) == (1, 103.25, "no answer")
    assert fields["drawdown"] is None
