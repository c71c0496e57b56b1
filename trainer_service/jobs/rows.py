"""Between training jobs and the rows they are kept in."""

from typing import Any

import sqlalchemy as sa

from tradewind.jobs import JobState, TrainingJob, TrainingPhase, TrainingProgress

__all__ = ["job_from_row", "job_values", "progress_values"]

# Columns of a row that are attributes of its job, by the same name.
_PLAIN = (
    *("job_id", "policy", "config_json", "device", "bundle_version"),
    *("bundle_sha256", "error", "created_at", "started_at", "ended_at", "cancel_requested"),
    *("attempts", "resumes", "checkpoint_timesteps", "traceparent"),
)


def job_values(job: TrainingJob) -> dict[str, Any]:
    """The columns of a job."""
    plain = {name: getattr(job, name) for name in _PLAIN}
    return {
        **plain,
        "request_id": job.request_id or None,  # no two jobs have the same, but many have none
        "state": job.state,
        "notes": list(job.notes),
        **progress_values(job.progress),
    }


def progress_values(progress: TrainingProgress) -> dict[str, Any]:
    """The columns of a report."""
    return {
        "phase": progress.phase,
        "timesteps_done": progress.timesteps_done,
        "timesteps_total": progress.timesteps_total,
        "steps_per_second": progress.steps_per_second,
        "elapsed_s": progress.elapsed_s,
        "metrics": dict(progress.metrics),
    }


def job_from_row(row: sa.RowMapping) -> TrainingJob:
    """The job of a row."""
    return TrainingJob(
        **{name: row[name] for name in _PLAIN},
        request_id=row["request_id"] or "",
        state=JobState(row["state"]),
        notes=tuple(row["notes"]),
        progress=TrainingProgress(
            phase=TrainingPhase(row["phase"]),
            timesteps_done=row["timesteps_done"],
            timesteps_total=row["timesteps_total"],
            steps_per_second=row["steps_per_second"],
            elapsed_s=row["elapsed_s"],
            metrics=row["metrics"],
        ),
    )
