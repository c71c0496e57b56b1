"""Training jobs, as the releases before migrations created them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "training_jobs",
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
        sqlite_autoincrement=True,
    )
