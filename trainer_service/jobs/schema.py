"""The table of training jobs as the latest revision leaves it."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tradewind.storage import SqlSchema

__all__ = ["JOBS", "METADATA", "SCHEMA"]

SCHEMA: Final = SqlSchema(
    name="the job store",
    setting="jobs",
    owner="trainer service",
    revisions=Path(__file__).with_name("revisions"),
    first_table="training_jobs",
    first_revision="0001",
    version_table="alembic_version",
    lock_key=0x6A6F6273,
)

METADATA = sa.MetaData()
JOBS = sa.Table(
    "training_jobs",
    METADATA,
    # Also the order in which jobs run and, backwards, in which they are listed.
    sa.Column("serial", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.String(64), unique=True, nullable=False),
    sa.Column("request_id", sa.String(256), unique=True),
    sa.Column("policy", sa.String(63), nullable=False),
    sa.Column("config_json", sa.Text, nullable=False),
    sa.Column("state", sa.String(32), nullable=False, index=True),
    sa.Column("phase", sa.String(32), nullable=False),
    sa.Column("timesteps_done", sa.BigInteger, nullable=False),
    sa.Column("timesteps_total", sa.BigInteger, nullable=False),
    sa.Column("steps_per_second", sa.Double, nullable=False),
    sa.Column("elapsed_s", sa.Double, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("bundle_version", sa.String(32), nullable=False),
    sa.Column("bundle_sha256", sa.String(64), nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("ended_at", sa.Double, nullable=False),
    # As asked for: cpu, cuda or auto; which slots may take the job follows from it.
    sa.Column("device", sa.String(16), nullable=False, server_default="auto"),
    # The service that runs the job; it must renew its lease, or another service takes the job.
    sa.Column("owner", sa.String(128), nullable=False, server_default=""),
    sa.Column("lease_until", sa.Double, nullable=False, server_default="0"),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    # Starts since the latest checkpoint was written, and restarts in all.
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("resumes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("checkpoint_timesteps", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("notes", sa.JSON, nullable=False, server_default="[]"),
    # The span of the request that started the job, which its process goes on from.
    sa.Column("traceparent", sa.String(64), nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
