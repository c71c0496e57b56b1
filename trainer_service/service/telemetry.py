"""Prometheus metrics of the jobs."""

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Histogram, Metric
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tradewind.jobs import JobState, TrainingJob
from trainer_service.jobs import JobStore, Slot

__all__ = ["Telemetry"]

_DURATION_BUCKETS_S = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600)


class Telemetry(Collector):
    """Jobs by state and the speed of those that run, read from the store at every scrape.

    Args:
        registry: Where the metrics are shown.
        store: The jobs.
        slots: Where this service runs jobs.
    """

    def __init__(self, registry: CollectorRegistry, store: JobStore, slots: Sequence[Slot]) -> None:
        self._store = store
        self._slots = Counter(slot.device for slot in slots)
        self._resumes = PrometheusCounter(
            "tradewind_trainer_resumes",
            "Times that this service started a job again which had been interrupted",
            registry=registry,
        )
        self._durations = Histogram(
            "tradewind_trainer_job_duration_seconds",
            "Time a job ran in all its attempts, by the state it ended in",
            ["state"],
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        # A series that begins with its first failure has no increase to be alarmed by.
        for state in JobState:
            self._durations.labels(state.value)
        registry.register(self)

    def observe_start(self, job: TrainingJob) -> None:
        """Takes note of a job that starts, or starts again."""
        if job.resumes:
            self._resumes.inc()

    def observe_end(self, job: TrainingJob, ran_s: float) -> None:
        """Takes note of a job that has ended, and of the seconds that it ran."""
        self._durations.labels(job.state.value).observe(ran_s)

    def collect(self) -> Iterator[Metric]:
        """Gives the metrics of a scrape."""
        jobs = GaugeMetricFamily("tradewind_trainer_jobs", "Jobs in each state", labels=["state"])
        for state, count in self._store.count_by_state().items():
            jobs.add_metric([state.value], count)
        yield jobs
        waiting = GaugeMetricFamily(
            "tradewind_trainer_queue_length",
            "Jobs that wait, by the device they ask for",
            labels=["device"],
        )
        lengths = self._store.queue_length()
        for device in ("auto", "cpu", "cuda"):
            waiting.add_metric([device], lengths.get(device, 0))
        yield waiting
        slots = GaugeMetricFamily(
            "tradewind_trainer_slots",
            "Jobs that this service can run at once, by device",
            labels=["device"],
        )
        for device, count in self._slots.items():
            slots.add_metric([device], count)
        yield slots
        speed = GaugeMetricFamily(
            "tradewind_trainer_steps_per_second",
            "Environment steps per second of each running job",
            labels=["policy", "job_id"],
        )
        for job in self._store.running():
            speed.add_metric([job.policy, job.job_id], job.progress.steps_per_second)
        yield speed
