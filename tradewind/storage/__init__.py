"""Durable state in SQL: one way to open, lock, migrate and sync a database. Needs SQLAlchemy."""

from tradewind.storage.schema import SqlSchema
from tradewind.storage.store import SqlStore

__all__ = ["SqlSchema", "SqlStore"]
