"""Says at once that an account is halted, what becomes of what it holds, and when it is over."""

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from orchestrator.agents.reasons import Reason
from orchestrator.events import EventBus
from orchestrator.records import Outcome, PositionRecord, TickRecord
from orchestrator.settings import SafetySettings
from tradewind.risk.decision import Halt
from tradewind.risk.rules import Action, Breach
from tradewind.rpc.clients import Evaluation

__all__ = ["HaltWatch", "holdings_text"]

_logger = logging.getLogger(__name__)

_SAY_AGAIN_TICKS: Final = 50


class HaltWatch:
    """Follows an account tick by tick; says each thing once, to the log and to who watches.

    Args:
        account: The account.
        safety: What is done while it is halted.
        resume: The command by which a person resumes it.
        bus: Who watches.
    """

    def __init__(self, account: str, safety: SafetySettings, resume: str, bus: EventBus) -> None:
        self._account = account
        self._safety = safety
        self._resume = resume
        self._bus = bus
        self._halt: Halt | None = None
        self._was_halted = False  # before the first tick
        self._holds = False
        self._stuck: tuple[str, ...] = ()
        self._stuck_ticks = 0

    def begin(self) -> None:
        """Says at the start what a halt will do."""
        resumed = f"trades nothing more until a person resumes it: {self._resume}"
        if self._safety.on_halt == "hold":
            self._say(
                logging.WARNING,
                "safety.on_halt is hold: a halted account keeps its positions, goes on losing "
                f"where they lose, and {resumed}",
            )
        else:
            self._say(
                logging.INFO,
                "safety.on_halt is flatten: a halted account closes its positions at once, at "
                f"whatever that costs, and {resumed}",
            )

    def look(self, tick: TickRecord, evaluation: Evaluation | None) -> None:
        """Takes in a tick, and the risk service's answer to it where there is one."""
        if evaluation is not None:
            halt = evaluation.halt
            if halt is None:
                if self._halt is not None or self._was_halted:
                    self._end()
            elif self._halt is None or halt.decision_id != self._halt.decision_id:
                self._begin(halt, evaluation, tick)
                return
        if self._halt is not None:
            self._follow(tick)

    def recovered(self, evaluation: Evaluation | None) -> None:
        """Takes in the answer about orders that a crash had kept from being sent."""
        if evaluation is not None and evaluation.halt is not None:
            self._was_halted = True
            cause = _cause(evaluation.halt, evaluation.breaches)
            text = f"HALTED while it was down, {cause}: {self._how_to_resume()}"
            self._bus.set_halt(evaluation.halt, text)
            self._say(logging.ERROR, text)

    def trade(self) -> None:
        """Says that it trades now, unless it is known to be halted: no tick may come for days."""
        if not self._was_halted:
            self._bus.set_state("TRADING")

    def _begin(self, halt: Halt, evaluation: Evaluation, tick: TickRecord) -> None:
        first = self._halt is None
        self._halt, self._was_halted = halt, False
        self._holds = _is_open(tick)
        self._stuck, self._stuck_ticks = (), 0
        if first:
            self._bus.count("halts")
        text = (
            f"HALTED ({halt.action.name}) {_cause(halt, evaluation.breaches)}: {self._done(tick)}. "
            f"{self._how_to_resume()}"
        )
        self._bus.set_halt(halt, text)
        self._say(logging.ERROR, text)

    def _end(self) -> None:
        self._halt, self._was_halted = None, False
        self._bus.set_halt(None)
        self._say(logging.WARNING, "resumed: it trades again")

    def _follow(self, tick: TickRecord) -> None:
        if not _is_open(tick):
            if self._holds:
                self._holds = False
                self._say(
                    logging.WARNING,
                    f"halted, and now it holds nothing any more: equity {tick.equity:,.2f}",
                )
            return
        self._holds = True
        if not self._flattens():
            return
        stuck = _why_not_closed(tick)
        if stuck and (stuck != self._stuck or self._stuck_ticks % _SAY_AGAIN_TICKS == 0):
            self._say(
                logging.ERROR,
                f"halted, and it still holds {holdings_text(tick.positions)}: {', '.join(stuck)}; "
                "closing is tried again at the next tick",
            )
        self._stuck = stuck
        self._stuck_ticks = self._stuck_ticks + 1 if stuck else 0

    def _flattens(self) -> bool:
        assert self._halt is not None
        return self._halt.action is Action.LIQUIDATE or self._safety.on_halt == "flatten"

    def _done(self, tick: TickRecord) -> str:
        if not _is_open(tick):
            return "it holds nothing"
        held = holdings_text(tick.positions)
        if not self._flattens():
            return f"its positions are kept (safety.on_halt: hold): {held}"
        stuck = _why_not_closed(tick)
        if tick.outcome is Outcome.FLATTENED and not stuck:
            return f"its positions are being closed: {held}"
        return (
            f"its positions could not be closed at this tick ({', '.join(stuck)}), which is tried "
            f"again at the next one: {held}"
        )

    def _how_to_resume(self) -> str:
        return f"Nothing else is traded until a person resumes it: {self._resume}"

    def _say(self, level: int, text: str) -> None:
        _logger.log(level, "account %s: %s", self._account, text)
        self._bus.announce(text)


def holdings_text(positions: Iterable[PositionRecord]) -> str:
    """What an account holds, for people; empty when it is flat."""
    return ", ".join(
        f"{item.symbol} {item.quantity:.10g} at {item.mark_price:.10g}"
        for item in positions
        if item.quantity
    )


def _is_open(tick: TickRecord) -> bool:
    return any(item.quantity for item in tick.positions)


def _why_not_closed(tick: TickRecord) -> tuple[str, ...]:
    """Why what is held is not being closed as it should be; empty when it is."""
    closing = {
        order.symbol for order in tick.orders if order.sent and order.reason == Reason.FLATTEN
    }
    waiting = {order.symbol for order in tick.orders if order.reason == Reason.ORDER_OPEN}
    held = {item.symbol for item in tick.positions if item.quantity}
    if Reason.BROKER_UNAVAILABLE in tick.reasons:
        return (Reason.BROKER_UNAVAILABLE,)
    if held <= closing | waiting:
        return ()
    reasons = [reason for reason in tick.reasons if not reason.startswith("RISK_HALT")]
    return tuple(dict.fromkeys(reasons)) or ("no order was sent",)


def _cause(halt: Halt, breaches: Sequence[Breach]) -> str:
    """Rule, metric, value and limit, as far as they are known: a halt may be older than a tick."""
    for breach in breaches:
        if breach.rule == halt.rule and not breach.shadow and breach.action is halt.action:
            value = "unavailable" if breach.value is None else f"{breach.value:.6g}"
            return f"by rule {halt.rule}: {breach.metric} is {value}, its limit {breach.limit:.6g}"
    return f"by rule {halt.rule}: {halt.reason}"
