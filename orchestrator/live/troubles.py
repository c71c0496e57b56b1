"""What went wrong, counted by its code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.agents.reasons import Reason
from orchestrator.feeds import BarFault, BarFlag
from orchestrator.records import TickRecord

__all__ = ["TroubleBook"]

_TEXTS: Final[Mapping[str, str]] = {
    BarFault.MALFORMED: "not a bar at all: refused",
    BarFault.UNKNOWN_SYMBOL: "a bar of a symbol that is not traded: refused",
    BarFault.ABSURD: "a bar with impossible numbers: refused",
    BarFault.FUTURE: "a bar that has not closed yet: refused",
    BarFault.FORMING: "a bar that had not closed, and then another for its time: refused",
    BarFault.INTERVAL: "a bar of another length: refused",
    BarFault.DUPLICATE: "a bar that came before: refused",
    BarFault.REVISED: "another bar for a time that was traded on: refused",
    BarFault.OUT_OF_ORDER: "a bar older than the last one: refused",
    BarFault.JUMP: "a price too far from the last one: refused",
    BarFlag.LATE: "a bar came late: its symbol holds at that tick",
    BarFlag.GAP: "bars are missing, few enough to go on",
    BarFlag.WARM_UP_AGAIN: "so many bars are missing that the symbol starts anew",
    BarFlag.UNKNOWN_GAP: "many bars may be missing of a market that is not known: it goes on",
    BarFlag.JUMP_CONFIRMED: "several bars agree on a price that had jumped",
    Reason.MISSING_BAR: "a symbol had no bar at a tick: it holds",
    Reason.LATE_BAR: "a bar came too late to be traded on",
    Reason.FEATURES_FAILED: "a feature group failed: its policy was not asked",
    Reason.DEADLINE: "the budget of a tick was over: its answers were not used",
    Reason.INFERENCE_UNAVAILABLE: "the inference service did not answer",
    Reason.RISK_UNAVAILABLE: "the risk service did not answer",
    Reason.METRIC_UNAVAILABLE: "a required risk metric was missing",
    Reason.ANSWER_UNVERIFIED: "an answer that cannot be verified: not used",
    Reason.VERSION_CHANGED: "an answer of a version that was not compared yet: not used",
    Reason.CONTRACT_MISMATCH: "an answer of a version that must not be traded here: not used",
    Reason.RISK_POLICY_CHANGED: "the risk policy has changed and is compared again",
    Reason.RISK_THROTTLE: "the risk service had orders made smaller",
    Reason.RISK_HEDGE: "the risk service let positions only shrink",
    Reason.RISK_REDUCE_POSITION: "the risk service let positions only shrink",
    Reason.RISK_BLOCK: "the risk service blocked orders",
    Reason.RISK_HALT: "the risk service halted the account",
    Reason.RISK_LIQUIDATE: "the risk service had every position closed",
    Reason.PRE_TRADE_LIMIT: "an order beyond a pre-trade limit was not sent",
    Reason.BELOW_MINIMUM: "an order below the instrument's lot, minimum or tick was not sent",
    Reason.ORDER_OPEN: "an earlier order of the symbol was still open",
    Reason.WITHDRAWN: "an open order was taken back: its position is closed instead",
    Reason.ORDER_REJECTED: "the broker rejected an order",
    Reason.BROKER_UNAVAILABLE: "the broker did not answer",
    Reason.BROKER_TERMS: "the broker left the terms that it said at the start",
    Reason.RECONCILIATION: "the broker's books were not what was expected",
}
_ORDINARY: Final = frozenset({Reason.WARM_UP})
_CRITICAL: Final = frozenset(
    {
        Reason.RISK_HALT,
        Reason.RISK_LIQUIDATE,
        Reason.CONTRACT_MISMATCH,
        Reason.BROKER_UNAVAILABLE,
        Reason.RISK_UNAVAILABLE,
        Reason.INFERENCE_UNAVAILABLE,
    }
)


@dataclass(slots=True)
class _Trouble:
    count: int = 0
    close_ns: int = 0
    detail: str = ""


class TroubleBook:
    """How often each trouble came, and what the last one was."""

    def __init__(self) -> None:
        self._troubles: dict[str, _Trouble] = {}

    def take(self, tick: TickRecord) -> bool:
        """Takes in a tick; gives whether there was a trouble in it."""
        for bar in tick.refused_bars:
            self._add(bar.fault, tick, f"{bar.symbol}: {bar.detail}")
        for kept in tick.bars:
            for flag in kept.flags:
                self._add(flag, tick, kept.symbol)
        found = False
        for reason in tick.reasons:
            if reason not in _ORDINARY:
                found = True
                self._add(reason, tick, _detail(reason, tick))
        return found or bool(tick.refused_bars)

    def summary(self) -> list[dict[str, object]]:
        """For the page, latest first."""
        latest_first = sorted(
            self._troubles.items(), key=lambda item: item[1].close_ns, reverse=True
        )
        return [
            {
                "code": code,
                "text": _TEXTS.get(code, ""),
                "critical": code in _CRITICAL,
                "count": trouble.count,
                "last_ms": trouble.close_ns // 1_000_000,
                "detail": trouble.detail,
            }
            for code, trouble in latest_first
        ]

    def _add(self, code: str, tick: TickRecord, detail: str) -> None:
        trouble = self._troubles.setdefault(str(code), _Trouble())
        trouble.count += 1
        trouble.close_ns = tick.close_ns
        trouble.detail = detail


def _detail(reason: str, tick: TickRecord) -> str:
    """Whom a reason is about, as far as the tick says it."""
    refused = [
        f"{'+'.join(decision.symbols)} by {decision.policy} {decision.version}".rstrip()
        for decision in tick.decisions
        if decision.reason == reason
    ]
    orders = [order.symbol for order in tick.orders if order.reason == reason]
    breaches = tick.risk.breaches if tick.risk is not None and reason.startswith("RISK_") else ()
    return ", ".join([*refused, *orders, *breaches])
