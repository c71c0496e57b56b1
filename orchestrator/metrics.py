"""The orchestrator's own Prometheus metrics, read from its event bus when they are asked for."""

import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.agents.reasons import Reason
from orchestrator.events import EventBus, Snapshot
from orchestrator.records import TickRecord
from tradewind.rpc.exposition import exposition

__all__ = ["LiveCounts", "MetricsText", "OrchestratorCollector"]

_TOTALS: Final = ("bars", "decided_ticks", "fills", "halts", "orders", "ticks")
_STATES: Final = (
    "STARTING",
    "WARMING_UP",
    "TRADING",
    "HOLDING",
    "WAITING",
    "HALTED",
    "STOPPED",
    "FAILED",
)
_KEPT_S: Final = 1.0


class LiveCounts(NamedTuple):
    """What the live view counts of itself."""

    browsers: int
    missed_ticks: int
    skipped_updates: int


class OrchestratorCollector(Collector):
    """Counts of the bus, and the account at the last tick; what is not known is left out.

    Args:
        bus: What the orchestrator says.
        live: Counts of the live view; None where there is none.
    """

    def __init__(self, bus: EventBus, live: Callable[[], LiveCounts] | None = None) -> None:
        self._bus = bus
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        snapshot = self._bus.snapshot()
        for name in _TOTALS:
            metric = f"tradewind_orchestrator_{name}"
            yield CounterMetricFamily(
                metric,
                f"{name.capitalize().replace('_', ' ')} since the start.",
                snapshot.counters.get(name, 0),
            )
        events = CounterMetricFamily(
            "tradewind_orchestrator_events",
            "Reason codes of ticks, faults and flags of bars.",
            labels=["code"],
        )
        # Every reason from the start: Prometheus sees no increase in a series that begins at 1.
        counted = {**dict.fromkeys(map(str, Reason), 0), **snapshot.counters}
        for code, count in sorted(counted.items()):
            if code not in _TOTALS:
                events.add_metric([code], count)
        yield events
        state = GaugeMetricFamily(
            "tradewind_orchestrator_state", "1 for the state it is in.", labels=["state"]
        )
        for name in _STATES:
            state.add_metric([name], float(name == snapshot.state))
        yield state
        interval_ns = snapshot.facts.get("interval_ns")
        if isinstance(interval_ns, int):
            yield _gauge("bar_seconds", "Between two ticks.", interval_ns / 1e9)
        if snapshot.due_ns is not None:
            text = "When the next tick must have come: while the market is closed, after it opens."
            yield _gauge("next_tick_due_timestamp_seconds", text, snapshot.due_ns / 1e9)
        text = "Ticks in a row at which it was halted and still held something."
        yield _gauge("halted_ticks_holding", text, _halted_ticks_holding(snapshot))
        if snapshot.ticks:
            last = snapshot.ticks[-1]
            yield _gauge("equity", "Cash and positions at their marks.", last.equity)
            text = "Sum of the absolute positions at their marks."
            yield _gauge("exposure", text, _exposure(last))
            yield _gauge("last_decision_timestamp_seconds", "The last tick.", last.decided_ns / 1e9)
            if last.risk is not None and "current_drawdown" in last.risk.metrics:
                drawdown = last.risk.metrics["current_drawdown"]
                yield _gauge("drawdown", "As the risk service calculates it.", drawdown)
        if self._live is None:
            return
        counts = self._live()
        yield _gauge("live_browsers", "Browsers that look.", counts.browsers)
        yield CounterMetricFamily(
            "tradewind_orchestrator_live_missed_ticks",
            "Ticks that the live view could not take in.",
            counts.missed_ticks,
        )
        yield CounterMetricFamily(
            "tradewind_orchestrator_live_skipped_updates",
            "Updates that browsers were too slow for.",
            counts.skipped_updates,
        )


class MetricsText:
    """The metrics as Prometheus reads them, made at most once a second however often it asks."""

    def __init__(self, bus: EventBus, live: Callable[[], LiveCounts] | None = None) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(OrchestratorCollector(bus, live))
        self._made: dict[bool, tuple[float, bytes, str]] = {}

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics in the form that a scraper's `Accept` asks for, and their content type."""
        now = time.monotonic()
        form = "application/openmetrics-text" in accept
        made = self._made.get(form)
        if made is None or now - made[0] >= _KEPT_S:
            # Of OpenMetrics the one version that all know: what asks cannot fill a store of pages.
            asked = "application/openmetrics-text; version=1.0.0" if form else ""
            made = self._made[form] = (now, *exposition(self._registry, asked))
        return made[1:]


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tradewind_orchestrator_{name}", text, value)


def _exposure(tick: TickRecord) -> float:
    return sum(abs(item.quantity * item.mark_price) for item in tick.positions)


def _halted_ticks_holding(snapshot: Snapshot) -> int:
    """How many of the last ticks, from the first one of the halt that still goes on."""
    count = 0
    if snapshot.halt is not None:
        for number, tick in enumerate(reversed(snapshot.ticks), start=1):
            if not _exposure(tick) or (tick.risk is not None and not tick.risk.halted):
                break
            if tick.risk is not None:  # one without an answer says nothing of a halt
                count = number
    return count
