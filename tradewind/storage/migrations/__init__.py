"""What Alembic runs for every store; the revisions themselves are the services'."""
