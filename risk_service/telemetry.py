"""The service's own Prometheus metrics."""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from tradewind.risk.decision import Decision, DecisionKind
from tradewind.risk.outside.running import CalculatorCost

__all__ = ["Telemetry"]

_CALCULATION_BUCKETS_S = (
    5e-6, 1e-5, 1.5e-5, 2e-5, 3e-5, 5e-5, 7.5e-5, 1e-4, 2.5e-4, 1e-3, 1e-2, 0.1
)  # fmt: skip
_MAX_SHOWN_ACCOUNTS: Final = 50


class Telemetry(Collector):
    """What the service counts.

    The risk metrics are those of the last Evaluate of an account, of the fifty accounts evaluated
    last only: every account costs one time series a metric. One that is unavailable is NaN.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._policy = Gauge(
            "tradewind_risk_policy",
            "1 for the policy in force, by digest",
            ("digest",),
            registry=registry,
        )
        self._overlay = Gauge(
            "tradewind_risk_overlay",
            "1 for the overlay that is on, by digest",
            ("digest",),
            registry=registry,
        )
        self._refusals = Counter(
            "tradewind_risk_policy_refusals",
            "Policy or overlay files refused while older ones stayed in force",
            registry=registry,
        )
        self._refused = Gauge(
            "tradewind_risk_policy_refused",
            "1 while the files of policy and overlay as they stand are not in force",
            registry=registry,
        )
        self._decisions = Counter(
            "tradewind_risk_decisions",
            "Decisions made durable, by kind and action",
            ("kind", "action"),
            registry=registry,
        )
        self._breaches = Counter(
            "tradewind_risk_breaches",
            "Breaches, by rule; a shadow rule's are recorded but not enforced",
            ("rule", "action", "shadow"),
            registry=registry,
        )
        self._halted = Gauge(
            "tradewind_risk_halted_accounts", "Accounts that are halted", registry=registry
        )
        self._failing = Gauge(
            "tradewind_risk_audit_failing",
            "1 while decisions cannot be recorded, and Evaluate therefore refuses",
            registry=registry,
        )
        self.observe_calculation = Histogram(
            "tradewind_risk_calculation_seconds",
            "Time to calculate the metrics of one snapshot",
            registry=registry,
            buckets=_CALCULATION_BUCKETS_S,
        ).observe
        self._lock = threading.Lock()
        self._shown: OrderedDict[str, Decision] = OrderedDict()
        self._costs: Callable[[], Mapping[str, CalculatorCost]] = dict
        self._children: dict[tuple[Counter, tuple[str, ...]], Counter] = {}
        registry.register(self)

    def policy_loaded(
        self,
        digest: str,
        costs: Callable[[], Mapping[str, CalculatorCost]],
        overlay_digest: str = "",
    ) -> None:
        """Shows the policy in force and its overlay, and no other.

        Args:
            digest: Of the policy.
            costs: Gives what its calculators from outside have cost.
            overlay_digest: Empty for none.
        """
        self._costs = costs
        self._policy.clear()
        self._policy.labels(digest).set(1)
        self._overlay.clear()
        if overlay_digest:
            self._overlay.labels(overlay_digest).set(1)
        self._refused.set(0)

    def policy_refused(self) -> None:
        """Counts a policy or an overlay file that was refused."""
        self._refusals.inc()
        self._refused.set(1)

    def decided(self, decision: Decision) -> None:
        """Counts a decision that has become durable."""
        self._count(self._decisions, decision.kind, decision.action.name)
        for breach in decision.breaches:
            shadow = "true" if breach.shadow else "false"
            self._count(self._breaches, breach.rule, breach.action.name, shadow)
        if decision.kind is DecisionKind.EVALUATE:
            with self._lock:
                self._shown[decision.account] = decision
                self._shown.move_to_end(decision.account)
                if len(self._shown) > _MAX_SHOWN_ACCOUNTS:
                    self._shown.popitem(last=False)

    def _count(self, counter: Counter, *labels: str) -> None:
        # Every answer waits for this, and `labels` takes a lock and checks what it is given.
        child = self._children.get((counter, labels))
        if child is None:
            child = self._children[counter, labels] = counter.labels(*labels)
        child.inc()

    def watch(self, halted_count: Callable[[], int], is_failing: Callable[[], bool]) -> None:
        """Asks for these two whenever the metrics are read."""
        self._halted.set_function(halted_count)
        self._failing.set_function(is_failing)

    def describe(self) -> Iterator[Metric]:
        """The families of `collect`, without samples."""
        yield _family()
        yield from _cost_families({})

    def collect(self) -> Iterator[Metric]:
        """The risk metrics of each account, made when Prometheus asks and not at each call."""
        yield from _cost_families(self._costs())
        family = _family()
        with self._lock:
            shown = list(self._shown.items())
        for account, decision in shown:
            for metric, value in decision.metric_values.items():
                family.add_metric((account, metric), value)
            for metric in decision.unavailable:
                family.add_metric((account, metric), math.nan)
        yield family


def _cost_families(costs: Mapping[str, CalculatorCost]) -> Iterator[Metric]:
    """What the calculators from outside have cost since their policy was loaded."""
    label = ("calculator",)
    calls = SummaryMetricFamily(
        "tradewind_risk_calculator_seconds", "Calls of a calculator from outside", labels=label
    )
    measured = GaugeMetricFamily(
        "tradewind_risk_calculator_measured_seconds",
        "Time of a call of a calculator from outside, measured when its policy was loaded",
        labels=label,
    )
    slow = CounterMetricFamily(
        "tradewind_risk_calculator_slow_calls",
        "Calls of a calculator from outside over its budget; ten in a row stop it",
        labels=label,
    )
    failures = CounterMetricFamily(
        "tradewind_risk_calculator_failures",
        "Calls of a calculator from outside that gave no answer",
        labels=label,
    )
    for name, cost in costs.items():
        calls.add_metric((name,), cost.calls, cost.seconds)
        measured.add_metric((name,), cost.measured_s)
        slow.add_metric((name,), cost.slow)
        failures.add_metric((name,), cost.failures)
    return iter((calls, measured, slow, failures))


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "tradewind_risk_metric",
        "Risk metrics of the last Evaluate of an account; NaN when unavailable",
        labels=("account", "metric"),
    )
