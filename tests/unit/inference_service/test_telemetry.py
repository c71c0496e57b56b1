from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from inference_service.registry import LoadedVersion, Registry
from inference_service.telemetry import Telemetry
from tradewind.bundle import BundleStore
from tradewind.errors import ObservationError, PolicyNotFoundError
from tradewind.serving import QuarantinedVersion

PREFIX = "tradewind_inference_"


@pytest.fixture
def version(
    registry: Registry,
    store: BundleStore,
    publish: Callable[..., str],
    load: Callable[[Path], LoadedVersion],
) -> LoadedVersion:
    version = load(store.path("tiny-dqn", publish()))
    registry.serve(version)
    return version


def test_scrape_shows_what_the_histograms_counted(
    telemetry: Telemetry,
    metrics: CollectorRegistry,
    registry: Registry,
    version: LoadedVersion,
) -> None:
    for latency_ns in (9_000, 11_000, 250_000):
        version.latencies.record(latency_ns)
    version.batch_latencies.record(99_000)
    labels = {"policy": "tiny-dqn", "version": version.version, "call": "single"}

    def sample(name: str, **more: str) -> float | None:
        return metrics.get_sample_value(PREFIX + name, {**labels, **more})

    assert sample("predictions_total") == 3.0
    assert sample("predictions_total", call="batch") == 1.0
    assert sample("slo_violations_total") == 1.0
    assert sample("model_compute_seconds_bucket", le="1e-05") == 1.0
    assert sample("model_compute_seconds_bucket", le="0.0001") == 2.0
    assert sample("model_compute_seconds_bucket", le="+Inf") == 3.0
    assert sample("model_compute_seconds_sum") == pytest.approx(270e-6)
    served = {"policy": "tiny-dqn", "version": version.version, "sha256": version.sha256}
    assert metrics.get_sample_value(PREFIX + "served_version", served) == 1.0
    registry.set_labels("tiny-dqn", {"champion": version.version})
    labelled = {"policy": "tiny-dqn", "version": version.version, "label": "champion"}
    assert metrics.get_sample_value(PREFIX + "labelled_version", labelled) == 1.0
    loaded = {"policy": "tiny-dqn", "version": version.version}
    assert metrics.get_sample_value(PREFIX + "loaded_bytes", loaded) == version.memory_bytes > 0
    runtime = {"policy": "tiny-dqn", "version": version.version, "runtime": "compiled"}
    assert metrics.get_sample_value(PREFIX + "runtime", {**runtime, "reason": ""}) == 1.0
    assert generate_latest(metrics)


def test_failed_predictions_are_counted_without_the_callers_names(
    telemetry: Telemetry, metrics: CollectorRegistry, version: LoadedVersion
) -> None:
    telemetry.prediction_failed(version, ObservationError("bad"))
    telemetry.prediction_failed(None, PolicyNotFoundError("no policy 'x'"))
    telemetry.prediction_failed(version, ZeroDivisionError())
    failures = {
        (sample.labels["version"], sample.labels["code"]): sample.value
        for family in metrics.collect()
        for sample in family.samples
        if sample.name == PREFIX + "prediction_failures_total"
    }
    assert failures == {
        (version.version, "INVALID_ARGUMENT"): 1.0,
        ("", "NOT_FOUND"): 1.0,
        (version.version, "INTERNAL"): 1.0,
    }


def test_loads_and_quarantines_are_counted(
    telemetry: Telemetry, metrics: CollectorRegistry, registry: Registry
) -> None:
    telemetry.loaded("tiny-dqn", 0.25)
    telemetry.quarantined("tiny-dqn", "DIGEST_MISMATCH")
    registry.quarantine(QuarantinedVersion("tiny-dqn", "1", "DIGEST_MISMATCH", "", 0.0))
    by_policy = {"policy": "tiny-dqn"}
    by_reason = {**by_policy, "reason": "DIGEST_MISMATCH"}
    assert metrics.get_sample_value(PREFIX + "load_seconds_count", by_policy) == 1.0
    assert metrics.get_sample_value(PREFIX + "quarantines_total", by_reason) == 1.0
    assert metrics.get_sample_value(PREFIX + "quarantined_versions") == 1.0
