"""The tables of the audit trail, as the latest revision leaves them."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    select,
)

from risk_service.audit.database import Database
from tradewind.errors import StorageError

__all__ = ["DECISIONS", "HEAD", "METADATA", "prepare_schema"]

SCHEMA_VERSION: Final = 1
METADATA = MetaData()

# A payload holds all of a row; the other columns are copies of parts of it, to search by.
DECISIONS = Table(
    "decisions",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("decision_id", String(64), nullable=False, unique=True),
    Column("account", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("action", String(32), nullable=False),
    Column("decided_at", Double, nullable=False),
    Column("payload", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("row_hash", String(64), nullable=False),
    Index("decisions_by_account", "account", "sequence"),
)

# One row: the end of the chain. It moves in the transaction that adds rows.
HEAD = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("row_hash", String(64), nullable=False),
)

# One row: which database this is, and of which schema to releases that know no revisions: one that
# they must not work with has another version.
SCHEMA = Table(
    "audit_schema",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("database_id", String(64), nullable=False),
)

_APPEND_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER IF NOT EXISTS decisions_no_{verb.lower()} BEFORE {verb} ON decisions "
        "BEGIN SELECT RAISE(ABORT, 'decisions is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION refuse_change_of_decisions() RETURNS trigger AS "
        "$$ BEGIN RAISE EXCEPTION 'decisions is append-only'; END $$ LANGUAGE plpgsql",
        "CREATE OR REPLACE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
        "ON decisions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_decisions()",
    ],
}


def prepare_schema(database: Database, connection: Connection) -> str:
    """Brings the tables to those of this release, in the transaction of the connection.

    Returns:
        The identity of the database.

    Raises:
        StorageError: The database was made by a later release, or is not what a release made.
    """
    database.migrate(connection)
    for statement in _APPEND_ONLY[connection.dialect.name]:  # whoever may have dropped them
        connection.exec_driver_sql(statement)
    version, database_id = connection.execute(select(SCHEMA.c.version, SCHEMA.c.database_id)).one()
    if version != SCHEMA_VERSION:
        raise StorageError(
            f"the audit database has schema version {version}, "
            f"this release knows version {SCHEMA_VERSION} only"
        )
    return str(database_id)
