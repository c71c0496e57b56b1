"""Between training jobs and their messages."""

from tradewind.api.trainer.v1 import trainer_pb2
from trainer_service.jobs import JobState, TrainingJob

__all__ = ["job_to_message"]

_STATES = {
    JobState.QUEUED: trainer_pb2.TRAINING_JOB_STATE_QUEUED,
    JobState.RUNNING: trainer_pb2.TRAINING_JOB_STATE_RUNNING,
    JobState.SUCCEEDED: trainer_pb2.TRAINING_JOB_STATE_SUCCEEDED,
    JobState.FAILED: trainer_pb2.TRAINING_JOB_STATE_FAILED,
    JobState.CANCELLED: trainer_pb2.TRAINING_JOB_STATE_CANCELLED,
    JobState.STOPPED_BY_RISK: trainer_pb2.TRAINING_JOB_STATE_STOPPED_BY_RISK,
}


def job_to_message(job: TrainingJob) -> trainer_pb2.TrainingJob:
    """The message of a job."""
    progress = job.progress
    return trainer_pb2.TrainingJob(
        job_id=job.job_id,
        policy=job.policy,
        state=_STATES[job.state],
        progress=trainer_pb2.TrainingProgress(
            timesteps_done_count=progress.timesteps_done,
            timesteps_total_count=progress.timesteps_total,
            steps_per_second=progress.steps_per_second,
            elapsed_s=progress.elapsed_s,
            phase=progress.phase,
        ),
        metrics=progress.metrics,
        bundle_version=job.bundle_version,
        bundle_sha256=job.bundle_sha256,
        error=job.error,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        config_json=job.config_json,
        device=job.device,
        attempt_count=job.attempts,
        resume_count=job.resumes,
        checkpoint_timesteps_count=job.checkpoint_timesteps,
        notes=job.notes,
    )
