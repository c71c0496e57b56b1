"""Devices, leases, cancellation by any service, attempts and checkpoints."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the columns; a job that waits or runs keeps the device that it asked for."""
    for column in (
        sa.Column("device", sa.String(16), nullable=False, server_default="auto"),
        sa.Column("owner", sa.String(128), nullable=False, server_default=""),
        sa.Column("lease_until", sa.Double, nullable=False, server_default="0"),
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("resumes", sa.Integer, nullable=False, server_default="0"),
        sa.Column("checkpoint_timesteps", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("notes", sa.JSON, nullable=False, server_default="[]"),
    ):
        op.add_column("training_jobs", column)
    jobs = sa.table(
        "training_jobs",
        sa.column("serial", sa.Integer),
        sa.column("state", sa.String),
        sa.column("config_json", sa.Text),
        sa.column("device", sa.String),
    )
    connection = op.get_bind()
    unfinished = sa.select(jobs).where(jobs.c.state.in_(("QUEUED", "RUNNING")))
    for row in connection.execute(unfinished).mappings().all():
        device = json.loads(row["config_json"])["training_params"]["device"]
        connection.execute(
            sa.update(jobs).where(jobs.c.serial == row["serial"]).values(device=device)
        )
