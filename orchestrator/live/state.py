"""What the page shows, kept up to date tick by tick in bounded memory."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.live.latency import RollingLatency
from orchestrator.live.rows import tick_row
from orchestrator.live.series import DownsampledSeries, highest, latest, lowest
from orchestrator.live.troubles import TroubleBook
from orchestrator.live.variants import VariantBook
from orchestrator.records import RiskAnswer, TickRecord, Timings
from orchestrator.settings import OrchestratorSettings
from tradewind.constants import MAX_PREDICTION_LATENCY_US
from tradewind.risk.pretrade import PRE_TRADE_METRICS

__all__ = ["LiveState", "Mark"]

_KEPT_ROWS: Final = 150
_ROWS_OF_AN_UPDATE: Final = 20
_STAGES: Final = ("features", "predict", "evaluate", "journal", "submit")

_CURVES: Final = {
    "close_ms": latest,
    "equity": latest,
    "equity_low": lowest,
    "equity_high": highest,
    "drawdown": highest,
    "bar_to_order_us": highest,
}


@dataclass(frozen=True, slots=True)
class Mark:
    """What a browser has: the points of the curves at a stride, and ticks up to a number."""

    stride: int = 0
    point: int = 0
    sequence: int = -1


class LiveState:
    """Takes in ticks and says what the page shows.

    Args:
        settings: The account.
        points: Most points of a curve.

    Attributes:
        last: The last tick; None before the first.
        tick_count: Ticks so far.
        decision_count: Answers of policies so far.
        answered_sequence: Number of the last tick that the risk service answered; -1 before one.
        limits_of: Digests of the risk policy and of the overlay whose limits are shown; None before
            some are.
    """

    def __init__(self, settings: OrchestratorSettings, points: int = 1_000) -> None:
        self._settings = settings
        self._capital = sum(allocation.cash for allocation in settings.allocations)
        self._series = DownsampledSeries(_CURVES, points - points % 2)
        self._variants = VariantBook(settings.symbols)
        self._troubles = TroubleBook()
        budget_us = settings.safety.budget_ms * 1e3
        self._latencies = {
            "model_compute": RollingLatency(MAX_PREDICTION_LATENCY_US),
            **{name: RollingLatency() for name in _STAGES},
            "bar_to_order": RollingLatency(budget_us),
        }
        self._rows: deque[TickRecord] = deque(maxlen=_KEPT_ROWS)
        self._ordering: deque[TickRecord] = deque(maxlen=_KEPT_ROWS)
        self._troubled: deque[TickRecord] = deque(maxlen=_KEPT_ROWS)
        self._risk: RiskAnswer | None = None
        self._limits: dict[str, float] = {}
        self.limits_of: tuple[str, str] | None = None
        self.last: TickRecord | None = None
        self.tick_count = 0
        self.decision_count = 0
        self.answered_sequence = -1

    def set_limits(self, limits: Mapping[str, float], digest: str, overlay_digest: str) -> None:
        """Takes over the limits of a risk policy and of its overlay."""
        self._limits = {
            metric: limit for metric, limit in limits.items() if metric not in PRE_TRADE_METRICS
        }
        self.limits_of = digest, overlay_digest

    def take(self, tick: TickRecord) -> None:
        """Takes in the next tick."""
        self.last = tick
        self.tick_count += 1
        self.decision_count += len(tick.decisions)
        risk = tick.risk
        if risk is not None:
            self._risk = risk
            self.answered_sequence = tick.sequence
        self._series.append(
            (
                tick.close_ns / 1e6,
                tick.equity,
                tick.equity,
                tick.equity,
                None if risk is None else risk.metrics.get("current_drawdown"),
                tick.timings.bar_to_order_ns / 1e3,
            )
        )
        self._time(tick, tick.timings)
        self._variants.take(tick)
        self._rows.append(tick)
        if tick.orders:
            self._ordering.append(tick)
        if self._troubles.take(tick):
            self._troubled.append(tick)

    def mark(self) -> Mark:
        """What a browser has that was shown everything until now."""
        sequence = -1 if self.last is None else self.last.sequence
        return Mark(self._series.stride, max(len(self._series) - 1, 0), sequence)

    def curves(self, mark: Mark = Mark()) -> dict[str, object]:
        """The points that a browser does not have yet; the one it had last is sent again."""
        start, columns = self._series.since(mark.stride, mark.point)
        return {"stride": self._series.stride, "start": start, "columns": columns}

    def rows(self) -> list[dict[str, object]]:
        """The last ticks, and the last ones with orders and with troubles, oldest first."""
        kept = {tick.sequence: tick for tick in (*self._ordering, *self._troubled, *self._rows)}
        return [tick_row(kept[sequence]) for sequence in sorted(kept)]

    def rows_after(self, sequence: int) -> list[dict[str, object]]:
        """The ticks after one, the last of them when they are many, oldest first."""
        found: list[TickRecord] = []
        for tick in reversed(self._rows):
            if tick.sequence <= sequence or len(found) == _ROWS_OF_AN_UPDATE:
                break
            found.append(tick)
        return [tick_row(tick) for tick in reversed(found)]

    def run(self) -> dict[str, object]:
        """What holds for the whole run."""
        settings = self._settings
        return {
            "account": settings.account,
            "symbols": list(settings.symbols),
            "policies": [allocation.policy for allocation in settings.allocations],
            "interval_ms": settings.interval_ns // 1_000_000,
            "capital": self._capital,
            "slo_us": MAX_PREDICTION_LATENCY_US,
            "budget_ms": settings.safety.budget_ms,
            "on_trouble": settings.safety.on_trouble,
            "on_halt": settings.safety.on_halt,
        }

    def figures(self) -> dict[str, object]:
        """Account, risk, positions, latency, variants and troubles as they are now."""
        return {
            "account": self._account(),
            "risk": self._risk_figures(),
            "positions": self._positions(),
            "latency": {name: item.summary() for name, item in self._latencies.items()},
            "variants": self._variants.summary(),
            "troubles": self._troubles.summary(),
        }

    @property
    def answered_under(self) -> tuple[str, str] | None:
        """Digests of the policy and the overlay of the last answer; None before one."""
        risk = self._risk
        return None if risk is None else (risk.policy_digest, risk.overlay_digest)

    @property
    def halted(self) -> bool:
        """Whether the account was halted by the risk service's last answer, however old it is."""
        return self._risk is not None and self._risk.halted

    def _time(self, tick: TickRecord, timings: Timings) -> None:
        for decision in tick.decisions:
            if decision.version:
                self._latencies["model_compute"].add(decision.model_compute_ns)
        for name in _STAGES:
            time_ns: int = getattr(timings, f"{name}_ns")
            if time_ns:
                self._latencies[name].add(time_ns)
        if tick.decisions:
            self._latencies["bar_to_order"].add(timings.bar_to_order_ns)

    def _account(self) -> dict[str, object] | None:
        tick = self.last
        if tick is None:
            return None
        exposure = sum(abs(item.quantity * item.mark_price) for item in tick.positions)
        return {
            "sequence": tick.sequence,
            "close_ms": tick.close_ns // 1_000_000,
            "decided_ms": tick.decided_ns // 1_000_000,
            "equity": tick.equity,
            "cash": tick.cash,
            "fees_paid": tick.fees_paid,
            "total_return": tick.equity / self._capital - 1.0,
            "start_of_day_equity": tick.start_of_day_equity,
            "exposure": exposure,
            "leverage": exposure / tick.equity if tick.equity > 0.0 else None,
        }

    def _risk_figures(self) -> dict[str, object] | None:
        """The last answer of the risk service, and whether it is that of the last tick."""
        risk = self._risk
        if risk is None or self.last is None:
            return None
        metrics = [_metric(name, risk, self._limits) for name in self._limits]
        return {
            "is_current": self.last.risk is not None,
            "action": risk.action,
            "halted": risk.halted,
            "breaches": list(risk.breaches),
            "risk_score": risk.risk_score,
            "decision_id": risk.decision_id,
            "policy_digest": risk.policy_digest,
            "overlay_digest": risk.overlay_digest,
            "drawdown": _metric("current_drawdown", risk, self._limits),
            "metrics": metrics,
        }

    def _positions(self) -> Sequence[Mapping[str, object]]:
        if self.last is None:
            return []
        found: dict[str, dict[str, Any]] = {
            symbol: {"symbol": symbol, "policy": item.policy, "quantity": None}
            for item in self._settings.allocations
            for symbol in item.symbols
        }
        for item in self.last.positions:
            worth = item.quantity * item.mark_price
            entry = item.entry_price
            found.setdefault(item.symbol, {"symbol": item.symbol, "policy": ""}).update(
                quantity=item.quantity,
                entry_price=entry,
                mark_price=item.mark_price,
                notional=worth,
                weight=worth / self.last.equity if self.last.equity > 0.0 else None,
                unrealized=None if entry is None else item.quantity * (item.mark_price - entry),
            )
        return list(found.values())


def _metric(name: str, risk: RiskAnswer, limits: Mapping[str, float]) -> dict[str, object]:
    """One metric beside its limit; a value that is absent says why and is never 0."""
    value, limit = risk.metrics.get(name), limits.get(name)
    reason = "" if value is not None else risk.unavailable.get(name, "not calculated")
    utilization = None if value is None or limit is None else value / limit
    return {
        "name": name,
        "value": value,
        "limit": limit,
        "utilization": utilization,
        "unavailable": reason,
    }
