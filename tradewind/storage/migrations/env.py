"""Runs the migrations on the connection that the store gives; Alembic executes this file."""

from alembic import context

context.configure(**context.config.attributes["configure"])
with context.begin_transaction():
    context.run_migrations()
