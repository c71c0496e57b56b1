"""The orchestrator's own Prometheus metrics, read from its event bus when they are asked for."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.agents.reasons import Reason
from orchestrator.events import EventBus
from orchestrator.live.hub import Hub

__all__ = ["OrchestratorCollector"]

_TOTALS: Final = ("bars", "decided_ticks", "fills", "orders", "ticks")
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


class OrchestratorCollector(Collector):
    """Counts of the bus, and the account at the last tick; what is not known is left out.

    Args:
        bus: What the orchestrator says.
        hub: Who looks.
    """

    def __init__(self, bus: EventBus, hub: Hub) -> None:
        self._bus = bus
        self._hub = hub

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
        if snapshot.ticks:
            last = snapshot.ticks[-1]
            yield _gauge("equity", "Cash and positions at their marks.", last.equity)
            yield _gauge("last_decision_timestamp_seconds", "The last tick.", last.decided_ns / 1e9)
            if last.risk is not None and "current_drawdown" in last.risk.metrics:
                drawdown = last.risk.metrics["current_drawdown"]
                yield _gauge("drawdown", "As the risk service calculates it.", drawdown)
        yield _gauge("live_browsers", "Browsers that look.", self._hub.browser_count)
        yield CounterMetricFamily(
            "tradewind_orchestrator_live_missed_ticks",
            "Ticks that the live view could not take in.",
            self._hub.missed_ticks,
        )
        yield CounterMetricFamily(
            "tradewind_orchestrator_live_skipped_updates",
            "Updates that browsers were too slow for.",
            self._hub.skipped_count,
        )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tradewind_orchestrator_{name}", text, value)
