"""The metrics of all workers on one page."""

import logging
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

__all__ = ["WorkerMetrics"]

_LOG = logging.getLogger(__name__)
_TIMEOUT_S = 2.0
_ASKED = {"Accept": "application/openmetrics-text; version=1.0.0"}  # with units and exemplars
# Workers are on this machine, whatever proxy the environment names for others.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class _Worker(Protocol):
    index: int
    metrics_address: str
    restart_count: int


class WorkerMetrics(Collector):
    """Asks every worker for its metrics and gives each series a label `worker`.

    They are not added up here: a worker that was replaced counts from 0 again, which `rate` only
    understands series by series.

    Args:
        workers: The workers; one that is not ready is left out.
    """

    def __init__(self, workers: Sequence[_Worker]) -> None:
        self._workers = workers

    def describe(self) -> Iterable[Metric]:
        """Nothing: what the workers have is known when they are asked."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Asks the workers, for a scrape."""
        ready = GaugeMetricFamily(
            "tradewind_inference_ready_workers", "Worker processes that serve now"
        )
        restarts = CounterMetricFamily(
            "tradewind_inference_worker_restarts",
            "Worker processes that replaced one that ended",
            labels=("worker",),
        )
        families: dict[str, Metric] = {}
        ready_count = 0
        for worker in self._workers:
            restarts.add_metric((str(worker.index),), worker.restart_count)
            text = self._ask(worker)
            ready_count += text is not None
            found = text_string_to_metric_families(text) if text else ()  # type: ignore[no-untyped-call]
            for family in found:
                merged = families.setdefault(
                    family.name,
                    Metric(family.name, family.documentation, family.type, family.unit),
                )
                for sample in family.samples:
                    labels = {**sample.labels, "worker": str(worker.index)}
                    merged.add_sample(sample.name, labels, sample.value, exemplar=sample.exemplar)
        ready.add_metric((), ready_count)
        return [ready, restarts, *families.values()]

    def _ask(self, worker: _Worker) -> str | None:
        address = worker.metrics_address
        if not address:
            return None
        try:
            request = urllib.request.Request(f"http://{address}/metrics", headers=_ASKED)
            with _OPENER.open(request, timeout=_TIMEOUT_S) as page:
                text: str = page.read().decode()
                return text
        except (urllib.error.URLError, OSError) as problem:
            _LOG.warning("worker %d gives no metrics: %s", worker.index, problem)
            return None
