"""Prometheus metrics of the jobs."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trainer_service.jobs import JobStore, TrainingJob

__all__ = ["Telemetry"]

_DURATION_BUCKETS_S = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600)


class Telemetry(Collector):
    """Jobs by state and the speed of those that run, read from the store at every scrape.

    Args:
        registry: Where the metrics are shown.
        store: The jobs.
    """

    def __init__(self, registry: CollectorRegistry, store: JobStore) -> None:
        self._store = store
        self._durations = Histogram(
            "tradewind_trainer_job_duration_seconds",
            "Time a job ran, by the state it ended in",
            ["state"],
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        registry.register(self)

    def observe_end(self, job: TrainingJob) -> None:
        """Takes note of a job that ran and has ended."""
        self._durations.labels(job.state.value).observe(job.ended_at - job.started_at)

    def collect(self) -> Iterator[Metric]:
        """Gives the metrics of a scrape."""
        jobs = GaugeMetricFamily("tradewind_trainer_jobs", "Jobs in each state", labels=["state"])
        for state, count in self._store.count_by_state().items():
            jobs.add_metric([state.value], count)
        yield jobs
        speed = GaugeMetricFamily(
            "tradewind_trainer_steps_per_second",
            "Environment steps per second of each running job",
            labels=["policy", "job_id"],
        )
        for job in self._store.running():
            speed.add_metric([job.policy, job.job_id], job.progress.steps_per_second)
        yield speed
