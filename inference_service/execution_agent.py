"""A policy embedded in the caller's process: no server, no SB3, no Gymnasium."""

from pathlib import Path
from typing import TypedDict

from numpy.typing import ArrayLike

from tradewind.bundle import BundleMetadata
from tradewind.constants import MAX_PREDICTION_LATENCY_US
from tradewind.errors import FieldViolation, InvalidInputError
from tradewind.policy import (
    BundlePolicy,
    LatencyHistogram,
    LatencySnapshot,
    PolicyAction,
    PredictionInfo,
    TorchScriptPolicy,
)

__all__ = [
    "BaselineComparison",
    "ExecutionAgentStub",
    "SloReport",
    "create_execution_agent_stub",
]


class SloReport(TypedDict):
    """Latency of one model compute, in microseconds; the objective is judged at p99."""

    p50_latency_us: float
    p99_latency_us: float
    p999_latency_us: float
    mean_latency_us: float
    slo_us: float
    slo_met: bool
    num_trials: int


class BaselineComparison(TypedDict):
    """Latency of one model compute beside a baseline, in microseconds; ratio = p50 / baseline."""

    baseline_latency_us: float
    p50_latency_us: float
    mean_latency_us: float
    ratio: float
    num_trials: int


class ExecutionAgentStub:
    """Predicts with the policy of a bundle and measures what that takes.

    Args:
        policy: The policy; trials take its golden observations in turn.
        slo_us: Objective of one model compute, in microseconds.
    """

    def __init__(self, policy: BundlePolicy, slo_us: float = MAX_PREDICTION_LATENCY_US) -> None:
        self._policy = policy
        self._slo_us = slo_us

    @property
    def metadata(self) -> BundleMetadata:
        """What the bundle says about itself."""
        return self._policy.metadata

    def predict(
        self, observation: ArrayLike, *, deterministic: bool = True, seed: int | None = None
    ) -> tuple[PolicyAction, PredictionInfo]:
        """The action for one observation; see RLPolicy."""
        return self._policy.predict(observation, deterministic=deterministic, seed=seed)

    def validate_slo_compliance(self, num_trials: int = 1000) -> SloReport:
        """Measures model compute over a number of predictions.

        Raises:
            InvalidInputError: num_trials is below 1.
        """
        latencies = self._measure(num_trials)
        p99_us = latencies.percentile_ns(99.0) / 1e3
        return {
            "p50_latency_us": latencies.percentile_ns(50.0) / 1e3,
            "p99_latency_us": p99_us,
            "p999_latency_us": latencies.percentile_ns(99.9) / 1e3,
            "mean_latency_us": latencies.mean_ns / 1e3,
            "slo_us": self._slo_us,
            "slo_met": p99_us <= self._slo_us,
            "num_trials": num_trials,
        }

    def benchmark_against_baseline(
        self, baseline_latency_us: float = 10.0, num_trials: int = 1000
    ) -> BaselineComparison:
        """Measures model compute and sets it beside a latency that the caller knows.

        Args:
            baseline_latency_us: What to compare with, above 0.
            num_trials: Number of predictions.

        Raises:
            InvalidInputError: An argument is out of range.
        """
        if not baseline_latency_us > 0.0:
            raise _refusal("baseline_latency_us", f"{baseline_latency_us} is not above 0")
        latencies = self._measure(num_trials)
        p50_us = latencies.percentile_ns(50.0) / 1e3
        return {
            "baseline_latency_us": baseline_latency_us,
            "p50_latency_us": p50_us,
            "mean_latency_us": latencies.mean_ns / 1e3,
            "ratio": p50_us / baseline_latency_us,
            "num_trials": num_trials,
        }

    def _measure(self, num_trials: int) -> LatencySnapshot:
        if num_trials < 1:
            raise _refusal("num_trials", f"{num_trials} instead of at least 1")
        observations = self._policy.golden.observations
        histogram = LatencyHistogram(round(self._slo_us * 1e3))
        for trial in range(num_trials):
            _, info = self._policy.predict(observations[trial % len(observations)])
            histogram.record(info["model_compute_ns"])
        return histogram.snapshot()


def create_execution_agent_stub(
    bundle_path: Path | str, *, slo_us: float = MAX_PREDICTION_LATENCY_US
) -> ExecutionAgentStub:
    """Verifies, loads and warms up a bundle.

    One of format 1 needs torch, which from then on uses one thread in this process.

    Args:
        bundle_path: `<store>/<policy>/<version>`.
        slo_us: Objective of one model compute, in microseconds.

    Raises:
        BundleError: The bundle must not be used; `reason` and message name the cause.
        VersionNotFoundError: There is no such folder.
        StorageError: The file system failed.
    """
    policy = TorchScriptPolicy.load_bundle(bundle_path)
    if policy.metadata.graph is None:
        from tradewind.policy import use_one_torch_thread

        use_one_torch_thread()
    return ExecutionAgentStub(policy, slo_us)


def _refusal(field: str, description: str) -> InvalidInputError:
    return InvalidInputError("measurement is refused", [FieldViolation(field, description)])
