"""The service's own Prometheus metrics."""

from collections.abc import Iterable

from google.rpc import code_pb2
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from inference_service.registry import LoadedVersion, Registry
from tradewind.policy import LatencySnapshot
from tradewind.rpc import status_from_error

__all__ = ["Telemetry"]

_BUCKETS_US = (1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 150, 250, 500, 1_000, 10_000, 100_000)
_LABELS = ("policy", "version")
_CALL_LABELS = (*_LABELS, "call")


class Telemetry(Collector):
    """Counts what goes wrong as it happens, and reads the rest off the registry when scraped.

    A call that succeeds touches nothing here: its count and its latency are those of the loaded
    version's histogram.

    Args:
        served: What is served.
        registry: Where the metrics are registered.
    """

    def __init__(self, served: Registry, registry: CollectorRegistry) -> None:
        self._served = served
        self._failures = Counter(
            "tradewind_inference_prediction_failures",
            "Predictions answered with an error, by status code",
            (*_LABELS, "code"),
            registry=registry,
        )
        self._load_seconds = Histogram(
            "tradewind_inference_load_seconds",
            "Time from a bundle's folder to serving it",
            ("policy",),
            registry=registry,
        )
        self._quarantines = Counter(
            "tradewind_inference_quarantines",
            "Versions refused, by cause",
            ("policy", "reason"),
            registry=registry,
        )
        self._store_failures = Counter(
            "tradewind_inference_store_failures",
            "Times that the store, or something in it, could not be used",
            registry=registry,
        )
        registry.register(self)

    def prediction_failed(self, version: LoadedVersion | None, error: Exception) -> None:
        """Counts a prediction that was answered with an error.

        Args:
            version: The version asked; None when there is none. The names a caller sent are no
                labels, because there is no end to them.
            error: What the caller is told.
        """
        name, number = (version.name, version.version) if version is not None else ("", "")
        code = code_pb2.Code.Name(status_from_error(error).code)
        self._failures.labels(name, number, code).inc()

    def loaded(self, policy: str, seconds: float) -> None:
        """Counts a version that was loaded and proved."""
        self._load_seconds.labels(policy).observe(seconds)

    def quarantined(self, policy: str, reason: str) -> None:
        """Counts a version that was refused."""
        self._quarantines.labels(policy, reason).inc()

    def store_failed(self) -> None:
        """Counts a time that the store, or something in it, could not be used."""
        self._store_failures.inc()

    def collect(self) -> Iterable[Metric]:
        """Gives what the registry and its histograms know, for a scrape."""
        predictions = CounterMetricFamily(
            "tradewind_inference_predictions",
            "Calls answered with an action; call is single or batch",
            labels=_CALL_LABELS,
        )
        compute = HistogramMetricFamily(
            "tradewind_inference_model_compute_seconds",
            "Time of the network alone; bounds are within 0.8 %",
            labels=_CALL_LABELS,
        )
        violations = CounterMetricFamily(
            "tradewind_inference_slo_violations",
            "Calls whose model compute exceeded the objective",
            labels=_CALL_LABELS,
        )
        served = GaugeMetricFamily(
            "tradewind_inference_served_version",
            "1 for the version that answers when a call names none",
            labels=(*_LABELS, "sha256"),
        )
        labelled = GaugeMetricFamily(
            "tradewind_inference_labelled_version",
            "1 for the version behind a label",
            labels=(*_LABELS, "label"),
        )
        memory = GaugeMetricFamily(
            "tradewind_inference_loaded_bytes",
            "Arrays of a loaded version: its network and its golden answers",
            labels=_LABELS,
        )
        runtime = GaugeMetricFamily(
            "tradewind_inference_runtime",
            "1 for what executes a loaded version; reason: why not the compiled runtime",
            labels=(*_LABELS, "runtime", "reason"),
        )
        quarantined = GaugeMetricFamily(
            "tradewind_inference_quarantined_versions",
            "Versions in the store that are refused now",
        )
        snapshot = self._served.snapshot
        for version in snapshot.versions():
            policy = version.policy
            memory.add_metric((version.name, version.version), version.memory_bytes)
            runtime.add_metric(
                (version.name, version.version, policy.runtime, policy.runtime_reason), 1
            )
            for call, histogram in (
                ("single", version.latencies),
                ("batch", version.batch_latencies),
            ):
                labels = (version.name, version.version, call)
                latencies = histogram.snapshot()
                predictions.add_metric(labels, latencies.count)
                violations.add_metric(labels, latencies.over_slo_count)
                compute.add_metric(labels, _buckets(latencies), latencies.total_ns * 1e-9)
        for version in snapshot.served.values():
            served.add_metric((version.name, version.version, version.sha256), 1)
        for labels_of_policy in snapshot.labelled.values():
            for label, version in labels_of_policy.items():
                labelled.add_metric((version.name, version.version, label), 1)
        quarantined.add_metric((), len(snapshot.quarantined))
        return predictions, compute, violations, served, labelled, memory, runtime, quarantined


def _buckets(latencies: LatencySnapshot) -> list[tuple[str, float]]:
    counted = [(str(us / 1e6), latencies.count_up_to(us * 1000)) for us in _BUCKETS_US]
    return [*counted, ("+Inf", latencies.count)]
