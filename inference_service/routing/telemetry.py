"""Prometheus metrics of the routing, read off when scraped."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inference_service.routing.follower import RoutingFollower, RoutingView
from inference_service.routing.shadow import ShadowRunner

__all__ = ["RoutingTelemetry"]

_VARIANT = ("policy", "variant")
_PREFIX = "tradewind_inference"


class RoutingTelemetry(Collector):
    """Shows the variants, the rollbacks and the shadows.

    Args:
        routing: What is routed.
        shadows: What is computed beside it.
        registry: Where the metrics are registered.
    """

    def __init__(
        self, routing: RoutingFollower, shadows: ShadowRunner, registry: CollectorRegistry
    ) -> None:
        self._routing = routing
        self._shadows = shadows
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Gives what the routing knows, for a scrape."""
        view = self._routing.view
        return [*_file_metrics(view), *self._rollbacks(view), *_variants(view), *self._answers()]

    def _rollbacks(self, view: RoutingView) -> Iterable[Metric]:
        out = GaugeMetricFamily(
            f"{_PREFIX}_rolled_back_variant",
            "1 for a variant that is out until a person reinstates it",
            labels=(*_VARIANT, "cause"),
        )
        for one in view.state.rollbacks if view.state is not None else ():
            out.add_metric((one.policy, one.variant, one.cause), 1)
        total = CounterMetricFamily(
            f"{_PREFIX}_rollbacks",
            "Variants taken out by this process",
            labels=(*_VARIANT, "cause"),
        )
        for labels, count in dict(self._routing.rollback_counts).items():
            total.add_metric(labels, count)
        return out, total

    def _answers(self) -> Iterable[Metric]:
        answers = CounterMetricFamily(
            f"{_PREFIX}_shadow_answers",
            "Calls answered by a shadow beside the caller's answer; outcome: same, different or "
            "failed",
            labels=("policy", "shadow", "version", "outcome"),
        )
        dropped = CounterMetricFamily(
            f"{_PREFIX}_shadow_drops",
            "Calls that no shadow of the policy answered; reason: queue_full or too_large",
            labels=("policy", "reason"),
        )
        outcomes, drops = self._shadows.totals()
        for labels, count in outcomes.items():
            answers.add_metric(labels, count)
        for labels_of_drop, count in drops.items():
            dropped.add_metric(labels_of_drop, count)
        return answers, dropped


def _file_metrics(view: RoutingView) -> Iterable[Metric]:
    refused = GaugeMetricFamily(
        f"{_PREFIX}_routing_refused", "1 while the routing file as it stands is not in force"
    )
    refused.add_metric((), float(bool(view.refusal)))
    refusals = CounterMetricFamily(f"{_PREFIX}_routing_refusals", "Routing files refused")
    refusals.add_metric((), view.refusal_count)
    failing = GaugeMetricFamily(
        f"{_PREFIX}_routing_state_failing", "1 while rollbacks cannot be read or kept"
    )
    failing.add_metric((), float(bool(view.state_problem)))
    return refused, refusals, failing


def _variants(view: RoutingView) -> Iterable[Metric]:
    states = GaugeMetricFamily(
        f"{_PREFIX}_variant_state",
        "1 for the state of a variant or shadow",
        labels=(*_VARIANT, "state"),
    )
    shares = GaugeMetricFamily(
        f"{_PREFIX}_variant_share", "Share of the calls that a variant has now", labels=_VARIANT
    )
    counted = (*_VARIANT, "version")
    answers = CounterMetricFamily(
        f"{_PREFIX}_variant_answers", "Calls answered by a variant", labels=counted
    )
    failures = CounterMetricFamily(
        f"{_PREFIX}_variant_failures",
        "Calls that a variant could not answer, bad input left out",
        labels=counted,
    )
    failovers = CounterMetricFamily(
        f"{_PREFIX}_variant_failovers",
        "Calls of a variant's share that the champion answered",
        labels=_VARIANT,
    )
    for one in view.statuses:
        variant, counts = (one.policy, one.name), one.tally.counts()
        states.add_metric((*variant, one.state.value), 1)
        if one.is_shadow:
            continue
        version = one.version.version if one.version is not None else ""
        shares.add_metric(variant, one.share)
        answers.add_metric((*variant, version), counts.answered)
        failures.add_metric((*variant, version), counts.failed)
        failovers.add_metric(variant, counts.failed_over)
    return states, shares, answers, failures, failovers
