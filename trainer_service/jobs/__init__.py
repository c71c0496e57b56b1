"""Training jobs: stored in a database, run one after the other in processes of their own."""

from trainer_service.jobs.job import ENDED_STATES, JobState, TrainingJob
from trainer_service.jobs.queue import JobQueue
from trainer_service.jobs.store import JobStore

__all__ = ["ENDED_STATES", "JobQueue", "JobState", "JobStore", "TrainingJob"]
