"""The database of the audit trail."""

from pathlib import Path
from typing import Final

from tradewind.storage import SqlSchema, SqlStore

__all__ = ["SCHEMA", "Database"]

SCHEMA: Final = SqlSchema(
    name="the audit database",
    setting="database",
    owner="risk service",
    revisions=Path(__file__).with_name("revisions"),
    first_table="audit_schema",
    first_revision="0001",
    version_table="audit_revision",
    lock_key=0x7472616465,
)


class Database(SqlStore):
    """Where the audit trail lives.

    A commit in SQLite is not on the disk when it returns: the journal keeps the rows until `settle`
    says that they are.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`.

    Raises:
        SettingsError: The URL is neither.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, SCHEMA, sync_commits=False, busy_s=5.0)
