"""Training jobs: what the trainer service keeps, what its clients get, and how far one is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

__all__ = ["ENDED_STATES", "JobState", "TrainingJob", "TrainingPhase", "TrainingProgress"]


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    STOPPED_BY_RISK = "STOPPED_BY_RISK"


ENDED_STATES: Final = frozenset(JobState) - {JobState.QUEUED, JobState.RUNNING}
"""States that a job does not leave."""


class TrainingPhase(StrEnum):
    """What a training is doing."""

    PREPARING = "preparing"
    TRAINING = "training"
    EVALUATING = "evaluating"
    EXPORTING = "exporting"
    PUBLISHING = "publishing"


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """One report of a training.

    Attributes:
        phase: What is being done.
        timesteps_done: Environment steps taken; ends above the total when the algorithm collects
            whole rollouts.
        timesteps_total: Environment steps asked for; 0 while unknown.
        steps_per_second: Mean rate since training began, or went on; 0 before that.
        elapsed_s: Seconds since the run began, without those between its attempts.
        metrics: Latest figures by name, e.g. "risk/score". Finite numbers only.
    """

    phase: TrainingPhase = TrainingPhase.PREPARING
    timesteps_done: int = 0
    timesteps_total: int = 0
    steps_per_second: float = 0.0
    elapsed_s: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One job at one moment.

    Attributes:
        job_id: Its name.
        policy: Name of the policy to publish.
        config_json: The configuration as accepted, defaults filled in.
        device: Where it asked to learn: cpu, cuda, or auto.
        state: Where it is in its life.
        progress: Its latest report.
        bundle_version: Version of the published bundle; empty before that.
        bundle_sha256: Digest of the bundle's network; empty before that.
        error: Why it failed or stopped; empty otherwise.
        created_at: Seconds since the epoch.
        started_at: Seconds since the epoch, of the first start; 0 before that.
        ended_at: Seconds since the epoch; 0 before that.
        request_id: The request that started it; empty when it had no id.
        traceparent: The span of that request, as W3C Trace Context writes it; empty for none.
        cancel_requested: Somebody asked to cancel it.
        attempts: Starts since its latest checkpoint was written.
        resumes: How often it was started again.
        checkpoint_timesteps: Environment steps at its latest checkpoint; 0 before there is one.
        notes: What happened to it on the way, oldest first: interruptions, resumes, checkpoints
            that could not be used.
    """

    job_id: str
    policy: str
    config_json: str
    device: str = "auto"
    state: JobState = JobState.QUEUED
    progress: TrainingProgress = field(default_factory=TrainingProgress)
    bundle_version: str = ""
    bundle_sha256: str = ""
    error: str = ""
    created_at: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    request_id: str = ""
    traceparent: str = ""
    cancel_requested: bool = False
    attempts: int = 0
    resumes: int = 0
    checkpoint_timesteps: int = 0
    notes: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """The state will not change again."""
        return self.state in ENDED_STATES
