"""The service's own Prometheus metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["Telemetry"]

_CALCULATION_BUCKETS_S = (
    5e-6, 1e-5, 1.5e-5, 2e-5, 3e-5, 5e-5, 7.5e-5, 1e-4, 2.5e-4, 1e-3, 1e-2, 0.1
)  # fmt: skip


class Telemetry:
    """What the service counts.

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
        self._refusals = Counter(
            "tradewind_risk_policy_refusals",
            "Policy files refused while an older policy stayed in force",
            registry=registry,
        )
        self.observe_calculation = Histogram(
            "tradewind_risk_calculation_seconds",
            "Time to calculate the metrics of one snapshot",
            registry=registry,
            buckets=_CALCULATION_BUCKETS_S,
        ).observe

    def policy_loaded(self, digest: str) -> None:
        """Shows the policy in force, and no other."""
        self._policy.clear()
        self._policy.labels(digest).set(1)

    def policy_refused(self) -> None:
        """Counts a policy file that was refused."""
        self._refusals.inc()
