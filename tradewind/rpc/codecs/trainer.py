"""Between training jobs and their messages."""

from typing import Final

from tradewind.api.trainer.v1 import trainer_pb2
from tradewind.jobs import JobState, TrainingJob, TrainingPhase, TrainingProgress
from tradewind.rpc.codecs.fields import MessageCodec, by_name, by_value

__all__ = ["read_job", "write_job"]

_PROGRESS: Final = MessageCodec(
    TrainingProgress,
    trainer_pb2.TrainingProgress,
    names={
        "timesteps_done": "timesteps_done_count",
        "timesteps_total": "timesteps_total_count",
    },
    parts={"phase": by_value(TrainingPhase, "the trainer service has a job in phase")},
    without={"metrics"},
)
_JOB: Final = MessageCodec(
    TrainingJob,
    trainer_pb2.TrainingJob,
    names={
        "attempts": "attempt_count",
        "resumes": "resume_count",
        "checkpoint_timesteps": "checkpoint_timesteps_count",
    },
    parts={
        "state": by_name(
            JobState,
            trainer_pb2.TrainingJobState.DESCRIPTOR,
            "TRAINING_JOB_STATE_",
            "the trainer service has a job in state",
        ),
    },
    without={"progress"},
)


def read_job(message: trainer_pb2.TrainingJob) -> TrainingJob:
    """The job that a message carries.

    Raises:
        RpcError: A newer service has it in a state or phase that is not known here.
    """
    progress = _PROGRESS.read(message.progress, metrics=dict(message.metrics))
    return _JOB.read(message, progress=progress)


def write_job(job: TrainingJob) -> trainer_pb2.TrainingJob:
    """The message of a job; the metrics of its progress are fields of its own there."""
    message: trainer_pb2.TrainingJob = _JOB.write(job)
    message.progress.CopyFrom(_PROGRESS.write(job.progress))
    message.metrics.update(job.progress.metrics)
    return message
