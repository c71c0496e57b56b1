"""The trace that a job belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the column; jobs of before belong to no trace."""
    column = sa.Column("traceparent", sa.String(64), nullable=False, server_default="")
    op.add_column("training_jobs", column)
