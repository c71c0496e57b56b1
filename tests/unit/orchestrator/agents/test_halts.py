"""What is said of a halt, and when."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.agents.halts import HaltWatch
from orchestrator.decision_log import OrderRecord, Outcome, PositionRecord, TickRecord
from orchestrator.events import EventBus
from orchestrator.settings import SafetySettings
from tradewind.risk import RiskReport
from tradewind.risk.decision import Halt
from tradewind.risk.rules import Action, Breach, Severity
from tradewind.rpc.clients import Evaluation

MakeTick = Callable[..., TickRecord]
LONG = (PositionRecord("BTC", 0.5, 1.0, 1.5),)
FLAT = (PositionRecord("BTC", 0.0, None, 1.5),)
CLOSING = (OrderRecord("a-2", "BTC", -0.5, 1.5, "FLATTEN", True),)


def evaluation(action: Action, decision_id: str = "d1") -> Evaluation:
    report = RiskReport({}, {}, None, None, (), {}, "ef")
    if action < Action.HALT:
        return Evaluation(action, (), None, report, None, decision_id)
    breach = Breach(
        "ruin", "max_drawdown", 0.2612, 0.25, -0.0112, action, Severity.CRITICAL, False, "too much"
    )
    halt = Halt(action, 1.0, "ruin", "too much", decision_id)
    return Evaluation(action, (breach,), halt, report, None, decision_id)


class Said:
    """A watch, and what it announced."""

    def __init__(self, **safety: Any) -> None:
        self.bus = EventBus()
        self.lines: list[str] = []
        self.bus.listen(self.lines.append)
        self.watch = HaltWatch("main", SafetySettings(**safety), "tradewind risk resume", self.bus)

    def new(self) -> list[str]:
        lines, self.lines[:] = list(self.lines), []
        return lines


def test_halt_is_said_at_once_with_its_cause_what_is_done_and_the_way_out(
    tick: MakeTick, caplog: pytest.LogCaptureFixture
) -> None:
    said = Said()
    said.watch.begin()
    (begun,) = said.new()
    assert "on_halt is flatten: a halted account closes its positions at once" in begun
    assert begun.endswith("until a person resumes it: tradewind risk resume")
    said.watch.look(tick(0, positions=LONG), evaluation(Action.ALLOW))
    assert said.new() == []

    halted = {"outcome": Outcome.FLATTENED, "reasons": ("RISK_HALT",), "orders": CLOSING}
    said.watch.look(tick(1, positions=LONG, **halted), evaluation(Action.HALT))
    text = (
        "HALTED (HALT) by rule ruin: max_drawdown is 0.2612, its limit 0.25: its positions are "
        "being closed: BTC 0.5 at 1.5. Nothing else is traded until a person resumes it: "
        "tradewind risk resume"
    )
    assert said.new() == [text]
    assert [(item.levelname, item.getMessage()) for item in caplog.records] == [
        ("ERROR", f"account main: {text}")
    ]
    snapshot = said.bus.snapshot()
    assert (snapshot.state, snapshot.detail, snapshot.counters["halts"]) == ("HALTED", text, 1)
    assert snapshot.halt is not None
    assert snapshot.halt.rule == "ruin"

    said.watch.look(tick(2, positions=FLAT, reasons=("RISK_HALT",)), evaluation(Action.HALT))
    said.watch.look(tick(3, positions=FLAT, reasons=("RISK_HALT",)), evaluation(Action.HALT))
    (flat,) = said.new()
    assert "now it holds nothing any more" in flat

    # An answer that is missing ends no halt.
    said.watch.look(tick(4, positions=FLAT, reasons=("RISK_UNAVAILABLE",)), None)
    assert said.bus.snapshot().state == "HALTED"
    said.watch.look(tick(5, positions=FLAT), evaluation(Action.ALLOW))
    assert said.new() == ["resumed: it trades again"]
    assert (said.bus.snapshot().state, said.bus.snapshot().halt) == ("TRADING", None)


def test_halt_that_grows_to_liquidate_is_said_again_and_counted_once(tick: MakeTick) -> None:
    said = Said(on_halt="hold")
    said.watch.begin()
    assert "goes on losing" in said.new()[0]
    held = {"positions": LONG, "outcome": Outcome.HELD, "orders": ()}
    said.watch.look(tick(1, reasons=("RISK_HALT",), **held), evaluation(Action.HALT))
    assert "positions are kept (safety.on_halt: hold): BTC 0.5" in said.new()[0]
    said.watch.look(tick(2, reasons=("RISK_HALT",), **held), evaluation(Action.HALT))
    assert said.new() == []
    closing = {**held, "outcome": Outcome.FLATTENED, "orders": CLOSING}
    said.watch.look(
        tick(3, reasons=("RISK_LIQUIDATE",), **closing), evaluation(Action.LIQUIDATE, "d2")
    )
    (text,) = said.new()
    assert "HALTED (LIQUIDATE)" in text
    assert "being closed" in text
    assert said.bus.snapshot().counters["halts"] == 1


@pytest.mark.parametrize(
    ("reasons", "orders", "why"),
    [
        (("RISK_HALT", "BROKER_UNAVAILABLE"), CLOSING, "BROKER_UNAVAILABLE"),
        (
            ("RISK_HALT", "ORDER_REJECTED"),
            (OrderRecord("a-2", "BTC", -0.5, 1.5, "ORDER_REJECTED", True),),
            "ORDER_REJECTED",
        ),
        (("DEADLINE",), (), "DEADLINE"),
    ],
)
def test_position_that_is_not_closed_is_said_until_it_is_and_not_at_every_tick(
    tick: MakeTick, reasons: tuple[str, ...], orders: tuple[OrderRecord, ...], why: str
) -> None:
    said = Said()
    stuck = {"positions": LONG, "reasons": reasons, "orders": orders}
    said.watch.look(tick(1, **stuck), evaluation(Action.HALT))
    assert f"could not be closed at this tick ({why})" in said.new()[0]
    for sequence in range(2, 12):
        said.watch.look(tick(sequence, **stuck), evaluation(Action.HALT))
    (text,) = said.new()
    assert f"still holds BTC 0.5 at 1.5: {why}; closing is tried again" in text


@pytest.mark.parametrize("action", [Action.ALLOW, Action.HALT])
def test_halt_of_before_the_start_stands_until_the_first_answer_says_otherwise(
    tick: MakeTick, action: Action
) -> None:
    said = Said()
    said.watch.recovered(evaluation(Action.HALT))
    said.watch.trade()  # and the market may be closed for days
    snapshot = said.bus.snapshot()
    assert (snapshot.state, snapshot.halt is None) == ("HALTED", False)
    assert said.new() == [snapshot.detail]
    said.watch.look(tick(0, positions=FLAT, reasons=("RISK_UNAVAILABLE",)), None)
    assert said.bus.snapshot().state == "HALTED"
    said.watch.look(tick(1, positions=FLAT), evaluation(action))
    (text,) = said.new()
    if action is Action.HALT:
        assert "HALTED (HALT) by rule ruin" in text
        assert said.bus.snapshot().counters["halts"] == 1
    else:
        assert text == "resumed: it trades again"
        assert said.bus.snapshot().state == "TRADING"


def test_start_without_a_halt_trades() -> None:
    said = Said()
    said.watch.recovered(evaluation(Action.ALLOW))
    said.watch.trade()
    assert said.bus.snapshot().state == "TRADING"
