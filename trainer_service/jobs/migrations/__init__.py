"""Alembic migrations of the job store; `trainer_service.jobs.database` runs them at start."""
